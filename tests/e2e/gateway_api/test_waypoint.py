"""A waypoint: the Gateway in front gives the bucket, the waypoint picks by it.

It is a real waypoint, without ztunnel: the Gateway's pods speak HBONE to it themselves, as
those of an ambient mesh do. What upstream's Envoy lacks of Istio's own build is patched
away (apps/upstream-envoy.yaml), and only there.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import cluster
import pytest
import store
from cluster import GATEWAY, RESPONSES, SYSTEM, kubectl
from doctor import OF_POD, bluegreen, finds, is_well
from report import Proof
from store import HOST, NAMESPACE
from users import Answer, User, all_ask, ask, returning, traffic

WAYPOINT = "waypoint"
AMBIENT = "PILOT_ENABLE_AMBIENT"
TEMPLATE = "/var/lib/istio/envoy/envoy_bootstrap_tmpl.json"
DISCOVERY = re.compile(
    r"^ *\{\{- if \.metadata_discovery \}\}\n *\{\n *\"name\": \"metadata_discovery\""
    r".*?\{\{- end \}\}\n",
    re.MULTILINE | re.DOTALL,
)
PLUGIN = f"{SYSTEM}.bluegreen-waypoints"

USERS = 100
TIMES = 3
GREEN = 30
# What Istio gives a connection with routes of before.
DRAIN = 60


@contextmanager
def ambient() -> Iterator[None]:
    """istiod with waypoints; later as it was."""
    istiod = get_container()
    names = {each["name"]: each.get("value") for each in istiod.get("env", [])}
    if names.get(AMBIENT) == "true":
        yield
        return
    set_env = ("-n", SYSTEM, "set", "env", "deployment/istiod")
    kubectl(*set_env, f"{AMBIENT}=true")
    cluster.rolled_out(SYSTEM, "istiod")
    try:
        yield
    finally:
        before = names.get(AMBIENT)
        kubectl(*set_env, f"{AMBIENT}={before}" if before else f"{AMBIENT}-")
        cluster.rolled_out(SYSTEM, "istiod")


def get_container() -> cluster.Json:
    """istiod's container, as its Deployment has it."""
    istiod = cluster.get("-n", SYSTEM, "deployment", "istiod")
    return istiod["spec"]["template"]["spec"]["containers"][0]


def is_upstreams() -> bool:
    """Whether the proxies run upstream's Envoy, and not Istio's own build."""
    node = json.loads(cluster.admin(SYSTEM, GATEWAY, "server_info"))["node"]
    return node["metadata"].get("ISTIO_PROXY_SHA", "").startswith("envoy-")


def upstream_envoy() -> None:
    """What a waypoint needs whose Envoy is upstream's."""
    words = ("exec", "-n", SYSTEM, f"deployment/{GATEWAY}", "--", "cat", TEMPLATE)
    template, count = DISCOVERY.subn("", kubectl(*words))
    assert count == 1, "the block of Istio's bootstrap template"
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "bootstrap-upstream", "namespace": NAMESPACE},
            "data": {"bootstrap.json": template},
        },
        *cluster.documents(store.APPS / "upstream-envoy.yaml"),
    )


@pytest.fixture(scope="module")
def waypoint(application: None, shop: None) -> Iterator[None]:
    """The waypoint of the Service `store`, and the way to it."""
    with ExitStack() as later:
        later.enter_context(ambient())
        gateways = cluster.documents(store.EXAMPLE / "gateway.yaml")
        objects = cluster.documents(store.EXAMPLE / "waypoint/waypoint.yaml")
        if is_upstreams():
            upstream_envoy()
            gateways = [
                store.parameters(store.within_the_cluster(gateways[0]), "hbone")
            ]
            objects[0] = store.parameters(objects[0], "upstream-envoy")
        later.callback(take_back)
        kubectl("-n", NAMESPACE, "delete", "httproute", "--all")
        cluster.apply(*gateways, *objects)
        cluster.apply(store.EXAMPLE / "waypoint/routes.yaml")
        for name in ("admission.yaml", "gateway.yaml", "waypoints.yaml"):
            cluster.apply(store.NAMED / name)
        store.programmed(WAYPOINT)
        cluster.rolled_out(NAMESPACE, WAYPOINT, store.GATEWAY)
        for deployment, plugin in [(store.GATEWAY, store.PLUGIN), (WAYPOINT, PLUGIN)]:
            cluster.until(
                f"the filter runs in {deployment}",
                lambda d=deployment, p=plugin: cluster.wrong(NAMESPACE, d).get(p) == 0,
            )
        # By the waypoint, whose connections have its filter.
        cluster.until("a version answers, and is told", lambda: ask_store().tags)
        yield


def take_back() -> None:
    """The store without its waypoint."""
    kubectl("-n", NAMESPACE, "delete", "httproute", "--all")
    gateway = "gateway.gateway.networking.k8s.io"
    kubectl("-n", NAMESPACE, "delete", gateway, WAYPOINT)
    cluster.delete(store.NAMED / "waypoints.yaml")
    for label in ("use-waypoint", "ingress-use-waypoint"):
        kubectl("-n", NAMESPACE, "label", "service", "store", f"istio.io/{label}-")


def ask_store(**headers: str) -> Answer:
    """One request, by the Gateway."""
    return ask("/", HOST, store.address(), **headers)


def shift(blue: int, green: int) -> None:
    """Writes the weights, and the name with them."""
    objects = cluster.documents(store.EXAMPLE / "waypoint/routes.yaml")
    [rule] = objects[0]["spec"]["rules"]
    rule["name"] = store.rule_name(blue, green)
    for ref, weight in zip(rule["backendRefs"], (blue, green), strict=True):
        ref["weight"] = weight
    cluster.apply(objects[0])
    cluster.until(
        f"the waypoint has {rule['name']}", lambda: rule["name"] in inline_routes()
    )


def inline_routes() -> str:
    """The listeners of the waypoint, which have its routes in them."""
    return cluster.admin(NAMESPACE, WAYPOINT, "config_dump?resource=dynamic_listeners")


def connections() -> int:
    """How many connections the Gateway has open to the waypoint."""
    text = cluster.admin(NAMESPACE, store.GATEWAY, "clusters")
    found = re.findall(
        r"^outbound\|80\|\|store\..*::cx_active::(\d+)$", text, re.MULTILINE
    )
    return sum(map(int, found))


def settle(users: list[User], green: int) -> int:
    """Has all users ask until all are on their version; gives how many answers were stale."""
    stale = 0
    deadline = time.monotonic() + DRAIN
    while time.monotonic() < deadline:
        asked = [(user, user.ask("/")) for user in users]
        wrong = sum(answer.version != user.expected(green) for user, answer in asked)
        if not wrong:
            return stale
        stale += wrong
    raise AssertionError(f"after {DRAIN} seconds some are on the wrong version still")


@pytest.fixture
def visitors(waypoint: None) -> list[User]:
    """Returning users of the store."""
    return returning(USERS, HOST, store.address())


def test_users_stay_where_their_bucket_says(waypoint: None, proof: Proof) -> None:
    before = by_source(WAYPOINT), by_source(store.GATEWAY)
    users = store.new_users(USERS, TIMES, GREEN, proof)
    dealt = Counter(store.BACKENDS[user.expected(GREEN)] for user in users)
    at_waypoint = by_source(WAYPOINT) - before[0]
    assert at_waypoint == Counter(
        {(v, "bucket-header"): count * TIMES for v, count in dealt.items()}
    )
    proof("their responses by version, as the waypoint counted", at_waypoint.total())
    at_gateway = by_source(store.GATEWAY) - before[1]
    assert at_gateway["store", "minted"] == USERS
    proof("cookies that the Gateway in front set", USERS)


def by_source(deployment: str) -> Counter[tuple[str, str]]:
    """The responses that a proxy counted, by version and source."""
    found: Counter[tuple[str, str]] = Counter()
    for name, labels, value in cluster.samples(cluster.metrics(NAMESPACE, deployment)):
        if name == RESPONSES:
            found[labels["bg_version"], labels["bg_source"]] += int(value)
    return found


def test_a_ramp_to_the_end_and_back(visitors: list[User], proof: Proof) -> None:
    rejects = cluster.xds_rejects()
    shift(100, 0)
    settle(visitors, 0)
    for blue, green in [(70, 30), (50, 50), (0, 100), (100, 0), (70, 30)]:
        shift(blue, green)
        settle(visitors, green)
        for user in visitors:
            user.answers.clear()
        all_ask(visitors, TIMES, "/")
        assert all(user.seen == {user.expected(green)} for user in visitors)
        on_green = sum(user.seen == {"green"} for user in visitors)
        proof(f"{blue}/{green}: users of {USERS} on green, none on both", on_green)
    failed = [a for user in visitors for a in user.answers if a.status != 200]
    assert not failed
    assert cluster.xds_rejects() == rejects
    proof("configurations refused, 100/0 and 0/100 among them", 0)


def test_what_remains_of_the_old_weights(visitors: list[User], proof: Proof) -> None:
    shift(100, 0)
    settle(visitors, 0)
    with traffic(visitors, 60, "/") as running:
        running.all_asked_since(time.monotonic())
        began = time.monotonic()
        shift(0, 100)
        settled = time.monotonic()
        running.all_asked_since(settled)
        running.all_asked_since(time.monotonic())
    stale = [a for _, a in running.since(began) if a.version == "blue"]
    last = max(answer.came for answer in stale)
    assert not running.failures
    proof("steady traffic: last answer by the old weights", f"{last - began:+.2f} s")
    after = sum(answer.asked > settled for answer in stale)
    proof("answers by them once the waypoint had the new ones", after)
    # With a pause, connections stay open that nobody uses.
    open_before = connections()
    shift(100, 0)
    stale_answers = settle(visitors, 0)
    assert stale_answers <= open_before
    proof("after a pause: connections of before", open_before)
    proof("answers by the old weights, at most one of each", stale_answers)
    shift(70, 30)
    settle(visitors, GREEN)


def test_pins_are_the_waypoints(visitors: list[User], proof: Proof) -> None:
    shift(100, 0)
    settle(visitors, 0)
    for pin in ("green", "store-green"):
        answer = ask_store(cookie=visitors[0].cookie, x_version_pin=pin)
        assert answer.version == "green"
        assert answer.tags == ["store-green"]
        assert not answer.all("x-version-pin"), "it holds, so nothing is told"
    proof("pins that hold in the waypoint at 100/0, and are not told", 2)
    shift(70, 30)
    settle(visitors, GREEN)


def test_a_strangers_version_does_not_get_in(
    visitors: list[User], proof: Proof
) -> None:
    for user in visitors[:20]:
        other = "green" if user.expected(GREEN) == "blue" else "blue"
        answer = ask_store(
            cookie=user.cookie, x_bluegreen_version=store.BACKENDS[other]
        )
        assert answer.version == user.expected(GREEN)
    proof("strangers' versions that reached the waypoint", "0 of 20")


def test_doctor_knows_gateway_and_waypoint(waypoint: None, proof: Proof) -> None:
    seen = is_well("-n", NAMESPACE)
    marks = {OF_POD.sub("", pod): about["marks"] for pod, about in seen.pods.items()}
    asked = ("module", "config", "once", "xds", "tags", "version")
    for name in (store.GATEWAY, WAYPOINT):
        good = [
            column for column in asked if marks[f"{NAMESPACE}/{name}"][column] == "good"
        ]
        assert good == list(asked), (name, marks)
        proof(f"of {name} doctor says ✔", len(good))


@pytest.fixture
def agentgateway() -> Iterator[None]:
    """A Gateway of the class for agentgateway."""
    cluster.apply(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": "agent", "namespace": NAMESPACE},
            "spec": {
                "gatewayClassName": "istio-agentgateway",
                "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}],
            },
        }
    )
    yield
    kubectl("-n", NAMESPACE, "delete", "gateway.gateway.networking.k8s.io", "agent")


def test_doctor_tells_of_agentgateway(
    waypoint: None, agentgateway: None, proof: Proof
) -> None:
    expected = {("agentgateway", "routes"): {f"Gateway agent.{NAMESPACE}"}}
    finds(expected, "-n", NAMESPACE)
    proof("a Gateway of agentgateway", "found")


def test_explain_says_what_the_cluster_does(waypoint: None, proof: Proof) -> None:
    shift(70, 30)
    there = f"{HOST}:80:{store.address()}:80"
    cookie = "bluegreen-id=00c0ffee00c0ffee"
    words = ("explain", "--from-cluster", "--ask", "--connect-to", there, "-b", cookie)
    # The waypoint behind it has said who answers.
    tag = ("--answer", "x-served-version: store-blue")
    ran = bluegreen(*words, *tag, f"http://{HOST}/")
    assert ran.code == 0, ran.out + ran.errors
    assert f"of HTTPRoute store.{NAMESPACE} (in the cluster)" in ran.out
    # What the Gateway in front does not know, the waypoint does.
    service = ("--waypoint", f"store.{NAMESPACE}", "-H", "x-bluegreen-bucket: 84")
    ran = bluegreen("explain", "--from-cluster", *service, f"http://{HOST}/")
    assert ran.code == 0, ran.out + ran.errors
    assert "store-green, by the bucket" in ran.out, ran.out
    proof("explained from the cluster, at the Gateway and at the waypoint", 2)
