"""Policies for HTTPRoutes: refused, warned of, named, on an API server of their own.

The naming policy is of Kubernetes 1.36; before, an API server has it behind a feature gate,
which the cluster's own need not have.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cluster
import policies
import pytest
import second_api
from crds import EXPERIMENTAL, STANDARD, crds
from kit.envoy import ROOT
from policies import Row
from report import Proof

FILTER = ROOT / "envoyfilter"
NAMED = FILTER / "gateway-api/admission.yaml"
NAME = "shop"
PASSED = "(server dry run)"

Rules = list[cluster.Json]

REFUSED_BY = "ValidatingAdmissionPolicy '{0}' with binding '{0}' denied request: "
DENIED = REFUSED_BY.format("bluegreen-named")
MARKED = REFUSED_BY.format("bluegreen-httproutes")
WARNED_BY = (
    "Warning: Validation failed for ValidatingAdmissionPolicy 'bluegreen-named-warnings' "
    "with binding 'bluegreen-named-warnings': "
)
STICKY = {"bluegreen": "sticky"}


# ---------------------------------------------------------------- what is written


def weighted(name: str = "", /, **weights: int) -> cluster.Json:
    """A weighted rule; `_` in names of backends is `-`. `name=""`: one without a name."""
    refs = [
        {"name": backend.replace("_", "-"), "port": 80, "weight": weight}
        for backend, weight in weights.items()
    ]
    return ({"name": name} if name else {}) | {"backendRefs": refs}


def ramp(**weights: int) -> cluster.Json:
    """A weighted rule that is named after its weights."""
    rule = weighted(**weights)
    return {"name": stated(rule)} | rule


def stated(rule: cluster.Json) -> str:
    """The name that states a rule's weights."""
    refs = [f"{ref['name']}-{ref.get('weight', 1)}" for ref in rule["backendRefs"]]
    return ".".join(["bluegreen", *refs])


def version(value: str, to: str = "") -> cluster.Json:
    """A rule that matches the version header."""
    header = {"name": "x-bluegreen-version", "value": value}
    rule = {"matches": [{"headers": [header]}]}
    return rule | {"backendRefs": [{"name": to or value, "port": 80}]}


def at(path: str, rule: cluster.Json) -> cluster.Json:
    """A rule for the paths below one."""
    return rule | {"matches": [{"path": {"type": "PathPrefix", "value": path}}]}


SHOP = ramp(shop_blue=70, shop_green=30)


REFUSED, PASSES, WARNED = (
    policies.rows("httpRoutes", verdict) for verdict in ("refused", "passes", "warned")
)


# ----------------------------------------------------------------------------------


def refusal(row: Row) -> str:
    """What is said to a row that a policy refuses."""
    return REFUSED_BY.format(row.by) + row.said


@dataclass
class Server:
    """The API server, and what a kind of route is called there."""

    kubeconfig: Path

    def kubectl(
        self, *words: str | Path, text: str | None = None, check: bool = True
    ) -> str:
        """kubectl, on this server."""
        own = ("--kubeconfig", self.kubeconfig)
        return cluster.kubectl(*own, *words, text=text, check=check)

    def says(self, row: Row, kind: str = "HTTPRoute", version: str = "v1") -> str:
        """What it says to a row."""
        if row.before:
            before = route(row.before, row.labels, kind, version)
            self.kubectl("apply", "--force", "-f", "-", text=before)
        verb = "replace" if row.before else "create"
        name = NAME if row.before else f"{NAME}-new"
        text = route(row.routes, row.labels, kind, version, name)
        said = self.kubectl(verb, "--dry-run=server", "-f", "-", text=text, check=False)
        return " ".join(said.split())

    def stored(self, *words: str) -> cluster.Json:
        """What it stores of a route."""
        return json.loads(self.kubectl("get", "httproute", NAME, "-o", "json", *words))

    def names(self) -> list[str]:
        """The names of the rules of what it stores."""
        return [rule.get("name", "") for rule in self.stored()["spec"]["rules"]]

    def write(self, rules: Rules, labels: dict[str, str] | None = None) -> list[str]:
        """Applies a route; gives the names of its rules, as they are stored."""
        self.kubectl("apply", "-f", "-", text=route(rules, labels or {}))
        return self.names()


def route(
    rules: Rules,
    labels: dict[str, str],
    kind: str = "HTTPRoute",
    version: str = "v1",
    name: str = NAME,
) -> str:
    """A route with these rules."""
    return json.dumps(
        {
            "apiVersion": f"gateway.networking.k8s.io/{version}",
            "kind": kind,
            "metadata": {"name": name, "namespace": "default", "labels": labels},
            "spec": {"rules": rules},
        }
    )


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """An API server with the CRDs and what refuses and warns."""
    with second_api.alone(flags=second_api.NAMING, name="policies") as kubeconfig:
        server = Server(kubeconfig)
        server.kubectl(
            "apply", "--server-side", *crds(STANDARD, "httproutes", "grpcroutes")
        )
        server.kubectl("apply", "-f", FILTER / "admission.yaml", "-f", NAMED)
        # The API server compiles a policy, and then holds to it.
        for row in (REFUSED[0], REFUSED[-1]):
            cluster.until(
                "the policies hold", lambda row=row: refusal(row) in server.says(row)
            )
        cluster.until("and warn", lambda: WARNED_BY in server.says(WARNED[-1]))
        yield server


def test_refused_with_what_to_write_instead(server: Server, proof: Proof) -> None:
    for row in REFUSED:
        said = server.says(row)
        assert refusal(row) in said, (row.what, said)
        assert PASSED not in said, row.what
    proof("rules refused, each with its message", len(REFUSED))


def test_warned_of_and_let_through(server: Server, proof: Proof) -> None:
    for row in WARNED:
        said = server.says(row)
        assert f"{WARNED_BY}{row.said}" in said, (row.what, said)
        assert said.count(WARNED_BY) == 1, (row.what, said)
        assert PASSED in said, (row.what, said)
    proof("warned of, each with its message", len(WARNED))


def test_let_through_with_nothing_said(server: Server, proof: Proof) -> None:
    for row in PASSES:
        said = server.says(row)
        assert PASSED in said, (row.what, said)
        assert "Warning" not in said, (row.what, said)
    proof("let through, the whole ramp among them", len(PASSES))


def test_the_older_version_and_grpcroutes_alike(server: Server, proof: Proof) -> None:
    row = REFUSED[0]
    for kind, version in [("HTTPRoute", "v1beta1"), ("GRPCRoute", "v1")]:
        assert refusal(row) in server.says(row, kind, version), kind
        assert PASSED in server.says(PASSES[0], kind, version), kind
    proof("the same in v1beta1, and for GRPCRoutes", "✔")


# ------------------------------------------------------------------- with the names


@pytest.fixture(scope="module")
def naming(server: Server) -> Server:
    """The server, with the policy that writes names."""
    server.kubectl("apply", "-f", "-", text=second_api.naming(FILTER))
    cluster.until(
        "the policy names",
        lambda: (
            server.write([weighted("bluegreen", a=1, b=1)]) == ["bluegreen.a-1.b-1"]
        ),
    )
    return server


def test_names_are_written_from_the_weights(naming: Server, proof: Proof) -> None:
    for what, written, stored in [
        ("`bluegreen`", "bluegreen", SHOP["name"]),
        ("a name of before", "bluegreen.shop-blue-100.shop-green-0", SHOP["name"]),
        ("the right one", SHOP["name"], SHOP["name"]),
        ("one of others", "main", "main"),
        ("none", "", ""),
    ]:
        rule = weighted(written, shop_blue=70, shop_green=30)
        assert naming.write([rule, version("shop-blue")]) == [stored, ""], what
    proof("names written by the policy; those of others left alone", 3)


def test_whoever_moves_weights_moves_nothing_else(naming: Server, proof: Proof) -> None:
    naming.write([SHOP])
    for blue, green in [(50, 50), (0, 100), (100, 0)]:
        patch = [
            {
                "op": "replace",
                "path": f"/spec/rules/0/backendRefs/{n}/weight",
                "value": w,
            }
            for n, w in enumerate((blue, green))
        ]
        naming.kubectl(
            "patch", "httproute", NAME, "--type=json", "-p", json.dumps(patch)
        )
        assert naming.names() == [f"bluegreen.shop-blue-{blue}.shop-green-{green}"]
    proof("patches of the weights alone that the name followed, 100/0 too", 3)


def test_the_label_names_rules_without_names(naming: Server, proof: Proof) -> None:
    rules = [weighted(shop_primary=100, shop_canary=0)]
    named = ["bluegreen.shop-primary-100.shop-canary-0"]
    assert naming.write(rules, STICKY) == named
    # Flagger writes its route anew each time, without names.
    naming.kubectl("replace", "-f", "-", text=route(rules, STICKY))
    assert naming.names() == named
    before = naming.stored()["metadata"]["generation"]
    naming.kubectl("replace", "-f", "-", text=route(rules, STICKY))
    assert naming.stored()["metadata"]["generation"] == before
    proof("a route without names, written anew: named, and no new generation", "✔")
    assert naming.write([*rules, version("shop-primary")], STICKY) == [*named, ""]
    naming.kubectl("delete", "httproute", NAME)
    assert naming.write(rules) == [""]
    proof("without the label it stays as it is", "✔")


def test_what_cannot_be_named_is_still_refused(naming: Server, proof: Proof) -> None:
    naming.kubectl("delete", "httproute", NAME, "--ignore-not-found")
    wrong = Row("", [weighted("bluegreen-2", shop_blue=1, shop_green=0)])
    assert f'{MARKED}rule "bluegreen-2"' in naming.says(wrong)
    twice = [{"name": "a", "port": 80}, {"name": "a", "port": 81}]
    said = naming.says(Row("", [{"name": "bluegreen", "backendRefs": twice}]))
    assert f'{DENIED}rule "bluegreen.a-1.a-1"' in said
    long = {f"{n:02}-{'s' * 30}": 1 for n in range(9)}
    said = naming.says(Row("", [weighted("bluegreen", **long)]))
    assert "may not be more than 253" in said
    proof("other names of the mesh, a backend twice, 300 letters: refused", 3)


def test_two_rules_of_one_name(naming: Server, proof: Proof) -> None:
    same = [at(path, weighted("bluegreen", a=1, b=1)) for path in ("/api", "/")]
    name = "bluegreen.a-1.b-1"
    assert naming.write(same) == [name, name]
    proof("two rules with the same weights: taken by the standard CRDs", "✔")
    naming.kubectl("delete", "httproute", NAME)
    naming.kubectl("apply", "--server-side", *crds(EXPERIMENTAL, "httproutes"))
    unique = "Rule name must be unique within the route"
    cluster.until(
        "the experimental CRDs hold", lambda: unique in naming.says(Row("", same))
    )
    proof("by the experimental ones", unique)
    one = at("/api", weighted("bluegreen", a=1, b=1))
    one["matches"] += at("/", {})["matches"]
    assert naming.write([one]) == [name]
    proof("one rule with two matches instead: taken by both", "✔")
