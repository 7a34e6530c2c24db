"""Doctor: faults made on purpose, found by `bluegreen doctor`, mended as it says."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cluster
import pytest
import yaml
from cluster import (
    EXTENSIONS,
    FILTER,
    NAMESPACE,
    OUTBOUND,
    PLUGINS,
    PROXIES,
    SYSTEM,
    Json,
    kubectl,
    set_mesh_config,
)
from doctor import ALL, INGRESS, MANIFESTS, bluegreen, finds, is_well, types, visit
from report import Proof
from test_updates import WRONG, apply, changed

USERS = 100
# How far from its weight the share of a version may be, of so few users.
NEAR = 15

CALLER = f"{NAMESPACE}/caller"
PLUGIN = f"WasmPlugin bluegreen-outbound.{SYSTEM}"
ENVOY_FILTER = FILTER / "envoy-filter.yaml"
POLICY = FILTER / "admission.yaml"

# Names of an account, of its rights, and of what else is made here.
NAME = "bluegreen-doctor"
# Istio's names for the filter.
FILTERS = [
    f"extensions.istio.io/wasmplugin/{OUTBOUND}",
    f"extensions.istio.io/trafficextension/{OUTBOUND}~istio-translated-wasmplugin",
    f"extensions.istio.io/trafficextension/{OUTBOUND}",
]
ROUTE = "type.googleapis.com/envoy.config.route.v3.FilterConfig"
MUTATION = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3"
MANAGER = "envoy.filters.network.http_connection_manager"

# The Envoys that know refresh_cluster_on_retry.
REFRESHES = (1, 39)

pytestmark = pytest.mark.usefixtures("shop")


# ------------------------------------------------------------------- all is well


@pytest.fixture(scope="module")
def rights() -> Iterator[Json]:
    """An account that may do what `--rights` says; the ClusterRole."""
    role = yaml.safe_load(bluegreen("doctor", "--rights").out)
    account = f"--serviceaccount={NAMESPACE}:{NAME}"
    binding = ("clusterrolebinding", NAME)
    cluster.apply(role)
    kubectl("-n", NAMESPACE, "create", "serviceaccount", NAME)
    kubectl("create", *binding, f"--clusterrole={role['metadata']['name']}", account)
    yield role
    kubectl("delete", "clusterrole", role["metadata"]["name"])
    kubectl("delete", *binding)
    kubectl("-n", NAMESPACE, "delete", "serviceaccount", NAME)


@pytest.fixture
def account(rights: Json, tmp_path: Path) -> tuple[str, Path]:
    """The flag with which doctor is that account."""
    view = ("config", "view", "--raw", "--minify", "--flatten", "-o", "json")
    config = json.loads(kubectl(*view))
    token = kubectl("-n", NAMESPACE, "create", "token", NAME).strip()
    config["users"][0]["user"] = {"token": token}
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(config))
    return "--kubeconfig", file


def test_all_is_well(account: tuple[str, Path], proof: Proof) -> None:
    seen = is_well(*account, "--ask")
    assert len(seen.pods) == len(ALL)
    # Nobody asks of the objects what only a proxy knows.
    marks = [mark for about in seen.pods.values() for mark in about["marks"].values()]
    assert set(marks) == {"good"}
    proof("questions about proxies, with the rights that it prints: all ✔", len(marks))
    served = seen.said["served"]
    assert {each["object"] for each in served} == {"shop.shop", "depot.shop"}
    for each in served:
        assert each["asked"] == USERS
        assert not each["wrong"]
        total = sum(version["weight"] for version in each["versions"])
        for version in each["versions"]:
            assert version["served"] == version["explained"], each
            share = USERS * version["weight"] / total
            assert abs(version["served"] - share) <= NEAR, each
        line = f"{USERS} of {USERS} served as explained"
        assert seen.text.count(line) == len(served)
    own = visit("-n", NAMESPACE)
    assert own.code == 0
    assert {each["namespace"] for each in own.said["proxies"]} == {NAMESPACE, SYSTEM}
    asked = USERS * len(served)
    proof("requests through the gateway, served as explained", f"{asked} of {asked}")


@pytest.mark.parametrize("right", ["wasmplugins", "pods/portforward"])
def test_a_right_that_is_missing(
    right: str, rights: Json, account: tuple[str, Path], proof: Proof
) -> None:
    rules = [
        rule | {"resources": [name for name in rule["resources"] if name != right]}
        for rule in rights["rules"]
    ]
    fewer = rights | {"rules": [rule for rule in rules if rule["resources"]]}
    cluster.apply(fewer)
    try:
        cluster.until("it is missing", lambda: bluegreen("doctor", *account).code == 2)
        ran = bluegreen("doctor", *account)
    finally:
        cluster.apply(rights)
    assert ran.errors.startswith(f"bluegreen: {right}"), ran.errors
    assert "forbidden" in ran.errors
    assert "The rights that it takes: bluegreen doctor --rights\n" in ran.errors
    assert not ran.out
    proof(f"without the right to {right}: the exit code, and its name", ran.code)


# -------------------------------------------------------------------- the routes


def envoy_filter(name: str, labels: dict[str, str], *patches: Json) -> Json:
    """An EnvoyFilter for the pods with these labels, after that of the filter."""
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "priority": 2000,
            "workloadSelector": {"labels": labels},
            "configPatches": list(patches),
        },
    }


def on_route(name: str, value: Json) -> Json:
    """A patch that merges a value into the routes of a name."""
    return {
        "applyTo": "HTTP_ROUTE",
        "match": {"routeConfiguration": {"vhost": {"route": {"name": name}}}},
        "patch": {"operation": "MERGE", "value": value},
    }


def without(name: str) -> Json:
    """A patch that takes a filter out."""
    chain = {"filter": {"name": MANAGER, "subFilter": {"name": name}}}
    return {
        "applyTo": "HTTP_FILTER",
        "match": {"listener": {"filterChain": chain}},
        "patch": {"operation": "REMOVE"},
    }


def envoy_filters() -> dict[str, Json]:
    """EnvoyFilters, by the fault that they make, each at another deployment."""
    wasm = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"
    off = {"@type": ROUTE, "disabled": True}
    on = {"@type": ROUTE, "is_optional": True, "config": {"@type": wasm}}
    switched_off = {"typed_per_filter_config": dict.fromkeys(FILTERS, off)}
    switched_on = {"typed_per_filter_config": dict.fromkeys(FILTERS, on)}
    other = {"route": {"weighted_clusters": {"header_name": "x-other-bucket"}}}
    anew = {"route": {"retry_policy": {"refresh_cluster_on_retry": True}}}
    patches = {
        "module-missing": ("caller", [without(name) for name in FILTERS]),
        "filter-off": ("shop-green", [on_route("bluegreen", switched_off)]),
        "bucket-header": ("stock-blue", [on_route("bluegreen", other)]),
        "filter-elsewhere": ("stock-green", [on_route("main", switched_on)]),
        "retry-refresh": ("shop-blue", [on_route("bluegreen", anew)]),
    }
    found = {}
    for fault, (deployment, of) in patches.items():
        app, _, version = deployment.partition("-")
        labels = {"app": app} | ({"version": version} if version else {})
        found[fault] = envoy_filter(f"{NAME}-{fault}", labels, *of)
    return found


def pod(name: str, config: Json) -> Json:
    """A pod whose proxy has another configuration."""
    deployment = cluster.get("-n", NAMESPACE, "deployment", "shop-blue")
    [app, *_] = deployment["spec"]["template"]["spec"]["containers"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {"app": name, "sidecar.istio.io/inject": "true"},
            "annotations": {"proxy.istio.io/config": json.dumps(config)},
        },
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": name, "image": app["image"]}],
        },
    }


@contextmanager
def given(*objects: Json) -> Iterator[None]:
    """Objects that are there for a while."""
    cluster.apply(*objects)
    try:
        yield
    finally:
        text = yaml.safe_dump_all(objects)
        kubectl("delete", "--ignore-not-found", "-f", "-", text=text)


def test_one_fault_each(proof: Proof) -> None:
    """Each proxy has another one, and some objects have others."""
    filters = envoy_filters()
    [any_proxy, *_] = visit().said["proxies"]
    major, minor, *_ = any_proxy["envoy"].split(".")
    if (int(major), int(minor)) < REFRESHES:
        del filters["retry-refresh"]
    shop_blue, stock = f"{NAMESPACE}/shop-blue", f"{NAMESPACE}/stock"
    expected = {
        ("module-missing", "module"): {CALLER},
        ("filter-off", "routes"): {f"{NAMESPACE}/shop-green"},
        ("filter-elsewhere", "routes"): {f"{stock}-green"},
        ("bucket-header", "header"): {f"{stock}-blue"},
        ("unreachable", "module"): {f"{NAMESPACE}/silent"},
        ("no-istiod", "xds"): {f"{NAMESPACE}/lost"},
        ("route-missing", "routes"): {INGRESS},
        ("waypoint", "routes"): {f"VirtualService stock.{NAMESPACE}"},
    }
    if "retry-refresh" in filters:
        expected["retry-refresh", "routes"] = {shop_blue}
    label = ("-n", NAMESPACE, "label", "service", "stock")
    depot = ("-n", NAMESPACE, "patch", "virtualservice", "depot", "--type=json", "-p")
    export = {"op": "add", "path": "/spec/exportTo", "value": ["."]}
    pods = [
        pod("silent", {"proxyAdminPort": 15009}),
        pod("lost", {"discoveryAddress": "istiod.nowhere:15012"}),
    ]
    with given(*pods, *filters.values()), ExitStack() as later:
        later.callback(kubectl, *label, "istio.io/use-waypoint-")
        kubectl(*label, "istio.io/use-waypoint=waypoint")
        later.callback(kubectl, *depot, json.dumps([export | {"op": "remove"}]))
        kubectl(*depot, json.dumps([export]))
        seen = finds(expected)
        assert "route of depot.shop for depot.example" in seen.what("route-missing")
        assert "main of docs.docs" in seen.what("filter-elsewhere")
        assert "is behind the waypoint waypoint" in seen.what("waypoint")
        # It names the commands that find the one who is at fault.
        find = "kubectl get envoyfilter -A"
        assert "REMOVE" in types(f"{find} -o yaml", seen, "module-missing")
        for fault in ("filter-off", "bucket-header"):
            assert f"{NAME}-{fault}" in types(find, seen, fault)
    is_well()
    proof("proxies and objects, each with a fault of its own: found", len(expected))


def test_the_envoyfilter(proof: Proof) -> None:
    text = ENVOY_FILTER.read_text()
    for name in ("key: x-bluegreen-route", "header_name: x-bluegreen-bucket"):
        assert name in text
        text = text.replace(name, name.replace("bluegreen", "other"))
    headers = {("route-header", "routes"): ALL, ("bucket-header", "header"): ALL}
    kubectl("apply", "-f", "-", text=text)
    seen = finds(headers | {("filter-headers", "header"): {PLUGIN}})
    assert "routeHeader" in seen.what("filter-headers")
    assert "bucketHeader" in seen.what("filter-headers")
    proof("an EnvoyFilter with other names of headers: proxies told", len(ALL))
    cluster.delete(ENVOY_FILTER)
    seen = finds(
        headers
        | {("no-envoyfilter", "routes"): {MANIFESTS}}
        | {("filter-elsewhere", "routes"): ALL}
    )
    proof("no EnvoyFilter: proxies told", len(ALL))
    types("kubectl apply", seen, "no-envoyfilter")
    is_well()
    proof("well again, by the command that it names", "✔")


def test_users_are_served_otherwise(proof: Proof) -> None:
    """All routes are as written, and one filter more makes all users one."""
    same = {"key": "cookie", "value": "bluegreen-id=00c0ffee00c0ffee"}
    append = {"header": same, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    mutations = {"request_mutations": [{"append": append}]}
    patch = {
        "applyTo": "HTTP_FILTER",
        "match": {"context": "GATEWAY", "listener": {"filterChain": {"filter": {}}}},
        "patch": {
            "operation": "INSERT_FIRST",
            "value": {
                "name": NAME,
                "typed_config": {
                    "@type": f"{MUTATION}.HeaderMutation",
                    "mutations": mutations,
                },
            },
        },
    }
    patch["match"]["listener"]["filterChain"]["filter"]["name"] = MANAGER
    one = envoy_filter(NAME, {"istio": "ingressgateway"}, patch)
    one["metadata"]["namespace"] = SYSTEM
    with given(one):
        seen = finds({("served", "weights"): {INGRESS}}, "--ask")
        wrong = sum(len(each["wrong"]) for each in seen.said["served"])
        assert "were not served as explained" in seen.what("served")
        # Without a request nobody can see it.
        assert not visit().faults
    is_well("--ask")
    proof(f"an identity for all: of {2 * USERS} users served otherwise", wrong)


# -------------------------------------------------------------------- the module


def test_modules_that_cannot_be_fetched(proof: Proof) -> None:
    [outbound, server] = cluster.documents(PLUGINS)
    digest = outbound["spec"]["url"].partition("@")[2]
    nowhere = digest.partition(":")[0] + ":" + "ab" * 32
    url = outbound["spec"]["url"].replace(digest, nowhere)
    secret = f"{NAME}-nowhere"
    outbound["spec"]["url"] = url
    server["spec"]["imagePullSecret"] = secret
    cluster.apply(outbound, server)
    try:
        seen = finds({("module-placeholder", "module"): ALL})
        [of_all, of_server] = seen.what("module-placeholder").splitlines()
        assert of_all.startswith(f"{OUTBOUND} could not be fetched: fetch manifest: ")
        assert of_server.endswith("could not be fetched: missing image pulling secret")
        assert "imagePullSecret" in seen.text
        proof(
            "an image that is not there: proxies told, in the agent's words", len(ALL)
        )
        proof("a pull secret that is not there: told in the agent's words", 1)
    finally:
        gone = [{"op": "remove", "path": "/spec/imagePullSecret"}]
        patch = ("patch", "wasmplugin", "bluegreen-server", "--type=json", "-p")
        kubectl("-n", SYSTEM, *patch, json.dumps(gone))
        cluster.apply(PLUGINS)
    is_well()


def test_the_registry_is_down(
    own_registry: Callable[[bool], None], proof: Proof
) -> None:
    for proxy in PROXIES:
        cluster.wait_for_log(*proxy, cluster.OWN_REGISTRY)
    own_registry(False)
    cluster.restart(NAMESPACE, "caller")
    seen = finds({("module-placeholder", "module"): {CALLER}})
    assert "connection refused" in seen.what("module-placeholder")
    assert "error" in types(f"kubectl -n {NAMESPACE} logs", seen, "module-placeholder")
    proof("the registry down when a pod starts: that pod told", 1)
    own_registry(True)
    types("kubectl annotate", seen, "module-placeholder")
    is_well()
    proof("well again, by the command that it names", "✔")


def test_no_plugin(proof: Proof) -> None:
    cluster.delete(PLUGINS)
    seen = finds({("no-plugin", "module"): {MANIFESTS}})
    types("kubectl apply", seen, "no-plugin")
    is_well()
    proof("no plugin: well again, by the command that it names", "✔")


def test_another_digest(proof: Proof) -> None:
    """A tag is pushed anew, and one pod restarts."""
    cluster.push_another(NAME)
    [outbound, _] = changed(
        lambda spec: spec.update(url=cluster.with_tag(spec["url"], NAME))
    )
    cluster.apply(outbound)
    try:
        cluster.wait_for_log(NAMESPACE, "caller", f"with tag {NAME}")
        is_well()
        cluster.push_another(NAME, "last")
        cluster.restart(NAMESPACE, "caller")
        seen = finds({("module-digest", "module"): {CALLER}})
        assert " elsewhere" in seen.what("module-digest")
        here = {about["modules"][OUTBOUND] for about in seen.pods.values()}
        proof("a tag pushed anew, one pod restarted: digests in the mesh", len(here))
    finally:
        # The digest in the url, as it says.
        cluster.apply(PLUGINS)
    is_well()


# ------------------------------------------------------------- the configuration


def test_a_wrong_configuration(proof: Proof) -> None:
    apply(WRONG)
    try:
        cluster.restart(NAMESPACE, "caller")
        seen = finds(
            {
                ("plugin-config", "config"): {PLUGIN},
                ("config-wrong", "config"): ALL - {CALLER},
                ("config-inert", "config"): {CALLER},
            }
        )
        for fault in ("plugin-config", "config-wrong", "config-inert"):
            assert 'role: "edge" is not one of auto, ' in seen.what(fault)
        said = types("bluegreen check", seen, "config-wrong")
        assert 'role: "edge"' in said
        proof("wrong after a good one: proxies told", len(ALL) - 1)
        proof("wrong from the start of a proxy: that one told", 1)
    finally:
        cluster.apply(PLUGINS)
    is_well()


def test_a_single_destination(proof: Proof) -> None:
    cluster.delete(POLICY)
    [service, _] = cluster.documents(cluster.virtual_service(100, 0))
    [route] = [r for r in service["spec"]["http"] if r["name"] == "bluegreen"]
    route["route"] = [{"destination": {"host": "shop", "subset": "blue"}}]
    try:
        # The API server keeps to a policy for some seconds after it is deleted.
        cluster.until("the policy holds no longer", lambda: cluster.apply(service))
        seen = finds(
            {
                ("single-destination", "routes"): {f"VirtualService shop.{NAMESPACE}"},
                ("rejected", "xds"): ALL,
                ("weights", "weights"): ALL,
            }
        )
        deals = (
            "bluegreen of shop.shop deals blue 70, green 30, and is written blue 100"
        )
        assert seen.what("weights") == deals
        assert "single-destination" in types("bluegreen check", seen, "rejected")
        proof("one destination, without the policies: frozen proxies told", len(ALL))
    finally:
        cluster.apply(POLICY)
        cluster.shift(70, 30)
    is_well()


def test_applied_twice(proof: Proof) -> None:
    cluster.apply(EXTENSIONS)
    try:
        seen = finds(
            {
                ("plugin-twice", "once"): {
                    PLUGIN,
                    PLUGIN.replace("outbound", "server"),
                },
                ("twice", "once"): ALL,
            }
        )
        assert f"{OUTBOUND} runs 2 times" in seen.what("twice")
        said = types("kubectl get wasmplugins,trafficextensions", seen, "twice")
        assert "trafficextension.extensions.istio.io/bluegreen-outbound" in said
        proof("WasmPlugin and TrafficExtension: proxies told", len(ALL))
    finally:
        cluster.delete(EXTENSIONS)
    is_well()
    text = (FILTER / "one-namespace/namespace.yaml").read_text()
    own = list(yaml.safe_load_all(text.replace("myapp", NAMESPACE)))
    with given(*own):
        here = {who for who in ALL if who.startswith(f"{NAMESPACE}/")}
        plugin = f"WasmPlugin bluegreen-outbound.{NAMESPACE}"
        seen = finds({("plugin-twice", "once"): {plugin}, ("twice", "once"): here})
        both = f"{OUTBOUND} and {NAMESPACE}.bluegreen-outbound run on one request"
        assert both in seen.what("twice")
        proof("one-namespace/ beside those of the mesh: proxies told", len(here))
    is_well()


# ------------------------------------------------------------ istiod and the mesh


def test_stat_tags(proof: Proof) -> None:
    """A pod starts before the mesh knows the labels."""
    mesh = cluster.mesh_config()
    before = json.loads(json.dumps(mesh))
    before["defaultConfig"].pop("extraStatTags")

    def istiod_knows() -> bool:
        ask = ("pilot-discovery", "request", "GET", "/debug/mesh")
        said = kubectl("-n", SYSTEM, "exec", "deployment/istiod", "--", *ask)
        return "bg_rollout" in said

    set_mesh_config(before)
    try:
        cluster.until("istiod knows no labels", lambda: not istiod_knows())
        cluster.restart(NAMESPACE, "caller")
    finally:
        set_mesh_config(mesh)
    cluster.until("istiod knows the labels", istiod_knows)
    seen = finds({("stat-tags", "tags"): {CALLER}})
    assert "bg_rollout" in seen.what("stat-tags")
    proof("a pod that started before the mesh had the labels: told", 1)
    types(f"kubectl -n {NAMESPACE} rollout restart", seen, "stat-tags")
    cluster.rolled_out(NAMESPACE, "caller")
    is_well()
    proof("well again, by the command that it names", "✔")


def test_no_istiod(proof: Proof) -> None:
    scale = ("-n", SYSTEM, "scale", "deployment/istiod")
    kubectl(*scale, "--replicas=0")
    try:
        seen = finds({("istiod-missing", "xds"): {MANIFESTS}})
        assert "No resources found" in types("kubectl", seen, "istiod-missing")
        proof("no istiod: told", 1)
    finally:
        kubectl(*scale, "--replicas=1")
        cluster.rolled_out(SYSTEM, "istiod")
    is_well()
