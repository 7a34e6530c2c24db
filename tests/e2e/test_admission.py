"""Admission: refused, warned of, let through; and what happens without it."""

import json
from collections.abc import Iterator

import cluster
import policies
import pytest
from cluster import FILTER, GATEWAY, NAMESPACE, SYSTEM
from policies import Row
from report import Proof
from users import ask

POLICY = FILTER / "admission.yaml"
VERSIONS = ["v1", "v1beta1", "v1alpha3"]

REFUSED_BY = "ValidatingAdmissionPolicy 'bluegreen' with binding 'bluegreen' denied "
WARNED_BY = (
    "Warning: Validation failed for ValidatingAdmissionPolicy 'bluegreen-warnings' "
    "with binding 'bluegreen-warnings': "
)
RULE_REFUSED_BY = REFUSED_BY.replace("'bluegreen'", "'bluegreen-httproutes'")
PASSED = "(server dry run)"

HTTP_ROUTE = "httproutes.gateway.networking.k8s.io"

# The VirtualService that is written. No gateway is called `nowhere`, so that no proxy
# routes by it.
NAME = "admission"
NOWHERE = "nowhere"

Http = list[cluster.Json]

REFUSED, PASSES, WARNED = (
    policies.rows("virtualServices", verdict)
    for verdict in ("refused", "passes", "warned")
)

pytestmark = pytest.mark.usefixtures("shop")


# ----------------------------------------------------------------------------------


def virtual_service(routes: Http, version: str = "v1", name: str = NAME) -> str:
    """A VirtualService with these routes."""
    return json.dumps(
        {
            "apiVersion": f"networking.istio.io/{version}",
            "kind": "VirtualService",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "hosts": [f"{NOWHERE}.example"],
                "gateways": [NOWHERE],
                "http": routes,
            },
        }
    )


def try_to_apply(row: Row, version: str) -> str:
    """What the API server says to a row."""
    dry = ("replace" if row.before else "create", "--dry-run=server", "-f", "-")
    text = virtual_service(row.routes, version, NAME if row.before else f"{NAME}-new")
    if row.before:
        force = ("apply", "--force", "-f", "-")
        cluster.kubectl(*force, text=virtual_service(row.before))
    return " ".join(cluster.kubectl(*dry, text=text, check=False).split())


@pytest.fixture(scope="module", autouse=True)
def tidy() -> Iterator[None]:
    """Takes back the VirtualService that updates are tried on."""
    yield
    gone = ("delete", "--ignore-not-found", "-n", NAMESPACE, "virtualservice", NAME)
    cluster.kubectl(*gone)


def rows(table: list[Row], version: str) -> list[Row]:
    """All rows for the first version; for the others, which are read alike, a part."""
    return table if version == VERSIONS[0] else table[::4]


@pytest.mark.parametrize("version", VERSIONS)
def test_refused_with_what_to_write_instead(version: str, proof: Proof) -> None:
    tried = rows(REFUSED, version)
    for row in tried:
        said = try_to_apply(row, version)
        assert f"{REFUSED_BY}request: http route {row.said}" in said, row.what
        assert PASSED not in said, row.what
    proof(f"{version}: refused, each with its message", len(tried))


@pytest.mark.parametrize("version", VERSIONS)
def test_warned_of_and_let_through(version: str, proof: Proof) -> None:
    tried = rows(WARNED, version)
    for row in tried:
        said = try_to_apply(row, version)
        assert f"{WARNED_BY}http route {row.said}" in said, (row.what, said)
        assert said.count(WARNED_BY) == 1, (row.what, said)
        assert PASSED in said, (row.what, said)
    proof(f"{version}: warned of, each with its message", len(tried))


@pytest.mark.parametrize("version", VERSIONS)
def test_let_through_with_nothing_said(version: str, proof: Proof) -> None:
    tried = rows(PASSES, version)
    for row in tried:
        said = try_to_apply(row, version)
        assert PASSED in said, (row.what, said)
        assert WARNED_BY not in said, (row.what, said)
    proof(f"{version}: accepted, the whole ramp among them", len(tried))


# As much of an HTTPRoute as the policy reads. Istio does not take it for the real
# one, which would have the annotation bundle-version.
RULE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
RULES = {"type": "object", "properties": {"rules": {"type": "array", "items": RULE}}}
HTTP_ROUTES = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": HTTP_ROUTE,
        "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
    },
    "spec": {
        "group": "gateway.networking.k8s.io",
        "names": {"kind": "HTTPRoute", "plural": "httproutes"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": RULES},
                    }
                },
            }
        ],
    },
}


@pytest.fixture
def http_routes() -> Iterator[None]:
    """The kind HTTPRoute; where the cluster has none, the part that is tested."""
    if HTTP_ROUTE in cluster.kubectl("get", "crd", "-o", "name"):
        yield
        return
    cluster.apply(HTTP_ROUTES)
    established = ("wait", "--for=condition=Established", f"crd/{HTTP_ROUTE}")
    cluster.kubectl(*established, f"--timeout={cluster.SECONDS}s")
    yield
    cluster.kubectl("delete", "crd", HTTP_ROUTE)


def try_rule(name: str) -> str:
    """What the API server says to an HTTPRoute with a rule of this name."""
    backends = [{"name": f"shop-{v}", "port": 80} for v in cluster.VERSIONS]
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"rules": [{"name": name, "backendRefs": backends}]},
    }
    dry = ("create", "--dry-run=server", "-f", "-")
    said = cluster.kubectl(*dry, text=json.dumps(route), check=False)
    return " ".join(said.split())


def test_rules_of_httproutes(http_routes: None, proof: Proof) -> None:
    refused = ["bluegreen", "bluegreen-2", "bluegreen-3", "bluegreen-mirror"]
    passes = ["shop", "bluegreen.shop-blue-70.shop-green-30"]
    # The API server learns of a new kind in a moment.
    cluster.until("HTTPRoutes can be written", lambda: PASSED in try_rule("shop"))
    for name in refused:
        assert (
            f'{RULE_REFUSED_BY}request: rule "{name}": name it '
            '"bluegreen.shop-blue-1.shop-green-1", after its weights, and have it picked by '
            "the filter of gateway-api/. Under its name Envoy is to pick, but Istio leaves "
            "out backends of weight 0, and with one left Envoy refuses the whole route "
            "table."
        ) in try_rule(name)
    for name in passes:
        assert PASSED in try_rule(name), name
    proof("rules of HTTPRoutes refused, each with its message", len(refused))
    proof("accepted", len(passes))


def test_without_it_a_single_destination_freezes_all_routes(proof: Proof) -> None:
    cluster.delete(POLICY)
    service, stock = cluster.documents(cluster.virtual_service(100, 0))
    [route] = [r for r in service["spec"]["http"] if r["name"] == "bluegreen"]
    route["route"] = [{"destination": {"host": "shop", "subset": "blue"}}]
    try:
        # The API server keeps to a policy for some seconds after it is deleted.
        cluster.until(
            "the policy holds no longer",
            lambda: PASSED in try_to_apply(Row("", [route]), "v1"),
        )
        cluster.apply(service, stock)
        rejected = "ADS:RDS: ACK ERROR"
        cluster.wait_for_log(SYSTEM, "istiod", f"{rejected} {GATEWAY}")
        proof("one destination, without the policy: istiod's log", rejected)
        assert cluster.routed(SYSTEM, GATEWAY) == [{"blue": 70, "green": 30}]
        assert ask().status == 200
        proof("the gateway routes on by the old weights", "70/30")
        cluster.kubectl("-n", SYSTEM, "scale", "deployment", GATEWAY, "--replicas=2")
        cluster.rolled_out(SYSTEM, GATEWAY)
        statuses = cluster.statuses_by_gateway_pod()
        assert sorted(statuses) == [200, 404]
        proof("a gateway pod that starts then answers", 404)
    finally:
        cluster.kubectl("-n", SYSTEM, "scale", "deployment", GATEWAY, "--replicas=1")
        cluster.apply(POLICY)
        cluster.shift(70, 30)
        cluster.rolled_out(SYSTEM, GATEWAY)
