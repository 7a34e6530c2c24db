"""A Gateway with HTTPRoutes: sticky, pinned and counted, beside a classic gateway.

The filter picks by the weights in the rule's name; Envoy's own pick is not asked.
"""

import time
from collections import Counter
from collections.abc import Iterator

import cluster
import pytest
import store
from cluster import OUTBOUND, REJECTED, RESPONSES, SYSTEM
from report import Proof
from store import GATEWAY, HOST, NAMESPACE, PLUGIN
from test_install import REMOVES, filters
from test_ramp import moves, settled
from users import Answer, ask, returning, traffic

USERS = 200
TIMES = 4
GREEN = 30
RATE = 40

PRIVATE = ["private, no-store"]
UNKNOWN = ["rejected; reason=unknown-version"]

pytestmark = pytest.mark.usefixtures("at_gateway")


def counted(name: str = RESPONSES, *labels: str) -> Counter[tuple[str, ...]]:
    """A counter of the Gateway by its labels."""
    labels = labels or ("bg_version", "bg_source", "bg_code")
    found: Counter[tuple[str, ...]] = Counter()
    text = cluster.metrics(NAMESPACE, GATEWAY)
    for metric, written, value in cluster.samples(text):
        if metric == name:
            found[tuple(written[label] for label in labels)] += int(value)
    return found


def ask_store(path: str = "/", **headers: str) -> Answer:
    """One request at the Gateway."""
    return ask(path, HOST, store.address(), **headers)


def test_both_plugins_run_and_each_keeps_to_its_routes(proof: Proof) -> None:
    [(direction, *names)] = filters(NAMESPACE, GATEWAY)
    assert direction == "OUTBOUND"
    assert names[0] == REMOVES
    assert sorted(names[1:]) == sorted([OUTBOUND, PLUGIN])
    proof("the mesh's plugin and the Gateway's own, on its listener", "both, once")
    assert PLUGIN not in str(filters(SYSTEM, cluster.GATEWAY))
    proof("the Gateway's own, on the classic gateway", "not there")


def test_users_stay_where_their_bucket_says(proof: Proof) -> None:
    before = counted()
    users = store.new_users(USERS, TIMES, GREEN, proof)
    dealt = Counter(store.BACKENDS[user.expected(GREEN)] for user in users)
    expected = Counter()
    for version, count in dealt.items():
        expected[version, "minted", "2xx"] = count
        expected[version, "identity-cookie", "2xx"] = count * (TIMES - 1)
    assert counted() - before == expected
    proof("their responses by version and source, as counted", expected.total())


def test_a_ramp_to_the_end_and_back(proof: Proof) -> None:
    rejects = cluster.xds_rejects()
    users = returning(USERS, HOST, store.address())
    store.shift(100, 0)
    cluster.shift(70, 30)
    # Those of the shop, at the classic gateway, whose weights stay.
    others = returning(USERS)
    with (
        traffic(users, 60, "/") as running,
        traffic(others, RATE, "/page.html") as beside,
    ):
        for blue, green in [(100, 0), (70, 30), (50, 50), (0, 100)]:
            store.shift(blue, green)
            on_green = settled(running, green)
            proof(f"{blue}/{green}: users of {USERS} on green", on_green)
        ups = [moves(user.answers) for user in running.users]
        began = time.monotonic()
        cluster.apply(store.weights(100, 0))
        applied = time.monotonic()
        store.wait_for_weights(100, 0)
        assert settled(running, 0) == 0
        last = max(a.came for _, a in running.since(began) if a.version == "green")
        store.shift(70, 30)
        settled(running, 30)
        beside.all_asked_since(time.monotonic())
    assert all(up == [("blue", "green")] for up in ups), "once, and not back"
    proof("users who moved twice, or back", 0)
    proof("rollback: last answer by green, after `apply`", f"{last - applied:+.2f} s")
    for user in others:
        assert user.seen == {user.expected(30)}, user
    proof(f"{USERS} users of the classic gateway meanwhile, who flipped", 0)
    for each in (running, beside):
        assert not each.failures
        proof(f"failed of {len(each.answers)} requests", each.figure)
    assert cluster.xds_rejects() == rejects
    proof("route tables refused, 100/0 and 0/100 among them", 0)


def test_pins_hold_whatever_the_weights_are(proof: Proof) -> None:
    [user] = returning(1, HOST)
    pinned = {"cookie": user.cookie, "x_version_pin": ""}
    store.shift(100, 0)
    for pin, version in [
        ("green", "green"),
        ("store-green", "green"),
        ("blue", "blue"),
        ("store-blue", "blue"),
    ]:
        for _ in range(TIMES):
            answer = ask_store(**pinned | {"x_version_pin": pin})
            assert answer.version == version
            assert answer.tags == [store.BACKENDS[version]]
            assert answer.all("cache-control") == PRIVATE
            assert not answer.all("x-version-pin")
    proof("pins by a version's name, or its end, that hold at 100/0", 4)
    answer = ask_store("/?version-pin=green", cookie=user.cookie)
    [line] = answer.all("set-cookie")
    assert line.startswith("bluegreen-pin=green; Max-Age=3600;")
    assert answer.body == "store green (pinned)\n"
    both = f"{user.cookie}; bluegreen-pin=green"
    assert ask_store(cookie=both).tags == ["store-green"]
    answer = ask_store("/?version-pin=none", cookie=both)
    assert answer.body == f"store blue (bucket {user.digits})\n"
    proof("a browser that a link pinned, and unpinned", "✔")
    store.shift(70, 30)


def test_pins_for_no_backend_are_told(proof: Proof) -> None:
    [user] = returning(1, HOST)
    rejected = (REJECTED, "bg_reason")
    before = counted(*rejected)
    for pin in ("red", "store", "een"):
        answer = ask_store(cookie=user.cookie, x_version_pin=pin)
        assert answer.all("x-version-pin") == UNKNOWN, pin
        assert answer.all("cache-control") == PRIVATE
        assert answer.tags == [store.BACKENDS[user.expected(GREEN)]]
    answer = ask_store(cookie=user.cookie, x_version_pin="Green!")
    assert answer.all("x-version-pin") == ["rejected; reason=malformed"]
    assert counted(*rejected) - before == Counter(
        {("pin-unknown-version",): 3, ("pin-malformed",): 1}
    )
    proof("pins for no backend, served as anybody and told", UNKNOWN[0])


def test_a_strangers_version_and_bucket_do_not_count(proof: Proof) -> None:
    users = returning(20, HOST)
    for user in users:
        other = "green" if user.expected(GREEN) == "blue" else "blue"
        for forged in [
            {"x_bluegreen_version": store.BACKENDS[other]},
            {"x_bluegreen_bucket": "99" if other == "green" else "0"},
        ]:
            answer = ask_store(cookie=user.cookie, **forged)
            assert answer.version == user.expected(GREEN), forged
            assert answer.body.endswith(f"(bucket {user.digits})\n")
    proof("versions and buckets of strangers that counted", f"0 of {2 * len(users)}")


@pytest.fixture
def route_of_others() -> Iterator[str]:
    """The path of an HTTPRoute on the same host, whose name only looks alike."""
    path = "/page.html"
    refs = [{"name": n, "port": 80, "weight": 50} for n in store.BACKENDS.values()]
    matches = [{"path": {"type": "Exact", "value": path}}]
    rule = {"name": "bluegreens.a-1", "matches": matches, "backendRefs": refs}
    cluster.apply(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": "others", "namespace": NAMESPACE},
            "spec": {
                "parentRefs": [{"name": "store"}],
                "hostnames": [HOST],
                "rules": [rule],
            },
        }
    )
    cluster.until(
        "the Gateway has the route",
        lambda: rule["name"] in store.route_names(NAMESPACE, GATEWAY, HOST),
    )
    yield path
    cluster.kubectl("-n", NAMESPACE, "delete", "httproute", "others")


def test_routes_of_others_are_left_alone(route_of_others: str, proof: Proof) -> None:
    before = counted()
    [user] = store.users(1)
    seen = set()
    for _ in range(40):
        answer = user.ask(route_of_others)
        assert answer.status == 200
        assert not answer.tags
        assert not answer.all("set-cookie")
        seen.add(answer.version)
    assert seen == {"blue", "green"}, "by chance"
    assert counted() == before
    proof("requests on a route of others: no tag, no cookie, none counted", 40)
