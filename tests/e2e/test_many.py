"""More than two: three versions, and VirtualServices that share a host by path."""

import json
import time
from collections import Counter
from itertools import pairwise

import cluster
import pytest
import yaml
from cluster import APPS, GATEWAY, MANY, NAMESPACE, SYSTEM, THREE
from kit import bucket
from report import Proof
from test_ramp import moves
from users import COOKIE, Answer, User, all_ask, ask, returning, traffic

USERS = 60

Weights = dict[str, int]

THREE_HOST = "three.example"
FIRST = {"v1": 80, "v2": 10, "v3": 10}

# As docs/route.md says: between neighbours; a version joins and leaves at weight 0, at
# the end, between others, and in front.
RAMP: list[Weights] = [
    {"v1": 100, "v2": 0},
    {"v1": 80, "v2": 20},
    {"v1": 80, "v2": 20, "v3": 0},
    FIRST,
    {"v1": 70, "v2": 20, "v3": 10},
    {"v1": 70, "v2": 0, "v3": 30},
    {"v1": 70, "v3": 30},
    {"v1": 70, "v2": 0, "v3": 30},
    {"v1": 0, "v2": 0, "v3": 100},
    {"v2": 0, "v3": 100},
    {"v1": 0, "v2": 0, "v3": 100},
]
# And what it advises against.
PAST = {"v1": 70, "v2": 10, "v3": 20}

PATHS_HOST = "paths.example"
API = "/api/"
# As apps/many.yaml has them, by VirtualService and path.
SHARED: dict[str, tuple[str, Weights]] = {
    "pages": ("/", {"v1": 70, "v2": 30}),
    "api": (API, {"v2": 4, "v3": 1}),
}

pytestmark = pytest.mark.usefixtures("many")


def deal(weights: Weights) -> str:
    """Gives the three versions these weights, in this order; what kubectl says."""
    to = [
        {"destination": {"host": MANY, "subset": version}, "weight": weight}
        for version, weight in weights.items()
    ]
    patch = [{"op": "replace", "path": "/spec/http/3/route", "value": to}]
    words = ("virtualservice", "three", "--type=json", "--patch", json.dumps(patch))
    said = cluster.kubectl("-n", MANY, "patch", *words, check=False)
    wanted = {version: weight for version, weight in weights.items() if weight}

    def are_there() -> bool:
        [route] = (r for r in routes(THREE_HOST) if r["name"] == "bluegreen")
        return cluster.weights_of(route["route"])[1] == wanted

    cluster.until(f"the gateway routes by {weights}", are_there)
    return said


def routes(host: str, namespace: str = SYSTEM, deployment: str = GATEWAY) -> list[dict]:
    """A host's routes at a proxy, in the order in which it looks at them."""
    return [
        route
        for virtual_host in cluster.virtual_hosts(namespace, deployment)
        if host in virtual_host["domains"]
        for route in virtual_host["routes"]
    ]


def test_a_ramp_of_three_moves_nobody_past_another_version(proof: Proof) -> None:
    deal(RAMP[0])
    with traffic(returning(USERS, THREE_HOST), USERS, "/") as running:
        for weights in RAMP:
            assert "Warning" not in deal(weights)
            moment = time.monotonic()
            running.all_asked_since(moment)
            for user, answer in running.since(moment):
                version = bucket.picked(user.bucket, weights)
                assert (answer.version, answer.tags) == (version, [version]), weights
        ways = [moves(user.answers) for user in running.users]
        proof("settings of three weights, each user where the bucket says", len(RAMP))
    assert not running.failures
    for user, way in zip(running.users, ways, strict=True):
        due = [bucket.picked(user.bucket, weights) for weights in RAMP]
        assert way == [(a, b) for a, b in pairwise(due) if a != b]
        # v2 had nobody, when its place was left out.
        assert set(way) <= {("v1", "v2"), ("v2", "v3"), ("v1", "v3")}
    passed = [way for way in ways if ("v2", "v3") in way and len(way) == 2]
    assert passed
    proof("of them through all three, one step each", len(passed))
    proof(f"failed of {len(running.answers)} requests", running.figure)


def test_weight_that_moves_past_a_version_moves_all_of_its_users(proof: Proof) -> None:
    deal(FIRST)
    users = returning(USERS, THREE_HOST)
    all_ask(users, 1, "/")
    assert "weight moves past v2" in deal(PAST)
    all_ask(users, 1, "/")
    moved = Counter(move for user in users for move in moves(user.answers))
    assert set(moved) == {("v1", "v2"), ("v2", "v3")}
    on_v2 = sum(user.answers[0].version == "v2" for user in users)
    assert moved["v2", "v3"] == on_v2 > 0
    proof(f"past v2: users of {on_v2} of v2 who go to v3", moved["v2", "v3"])


def test_pins_of_three(proof: Proof) -> None:
    for version in THREE:
        answer = ask("/", THREE_HOST, x_version_pin=version)
        assert answer.body == f"near {version} (pinned)\n"
        assert answer.tags == [version]
        assert not answer.all("x-version-pin")
    proof("pins, by bluegreen-pin to bluegreen-pin-3", len(THREE))


def virtual_services(found: list[dict]) -> list[str]:
    """The names of the VirtualServices that routes are of, each once, in their order."""
    paths = [r["metadata"]["filter_metadata"]["istio"]["config"] for r in found]
    return list(dict.fromkeys(path.rpartition("/")[2] for path in paths))


def virtual_service(name: str) -> cluster.Json:
    """One of apps/many.yaml."""
    [found] = [
        each
        for each in cluster.documents(APPS / "many.yaml")
        if each["kind"] == "VirtualService" and each["metadata"]["name"] == name
    ]
    return found


def join(last: str) -> list[str]:
    """Makes one of the two the younger one, which Istio puts behind the other."""
    [first] = [name for name in SHARED if name != last]

    def created(name: str) -> str:
        found = cluster.get("-n", MANY, "virtualservice", name)
        return found["metadata"]["creationTimestamp"]

    def is_younger() -> bool:
        cluster.kubectl("-n", MANY, "delete", "virtualservice", last)
        cluster.apply(virtual_service(last))
        return created(last) > created(first)

    # Kubernetes counts in seconds, and of the same one the name decides.
    cluster.until(f"{last} is the younger one", is_younger)
    cluster.until(
        f"the gateway has the routes of {last} behind the others",
        lambda: virtual_services(routes(PATHS_HOST)) == [first, last],
    )
    return [first, last]


@pytest.fixture(scope="module", params=SHARED)
def order(request: pytest.FixtureRequest, many: None) -> str:
    """Which of the two is the older one: each of them once."""
    return " before ".join(join(request.param))


def test_two_share_a_host_in_either_order(order: str, proof: Proof) -> None:
    before = cluster.responses(SYSTEM, GATEWAY)
    users = [User(host=PATHS_HOST) for _ in range(USERS)]
    dealt: Counter[tuple[str, str]] = Counter()

    def visit(some: list[User], name: str) -> None:
        path, weights = SHARED[name]
        all_ask(some, 1, path)
        for user in some:
            version = bucket.picked(user.bucket, weights)
            answer = user.answers[-1]
            assert answer.body == f"near {version} (bucket {user.digits})\n"
            assert answer.tags == [version]
            dealt[f"{name}.{MANY}", version] += 1

    # Half of them come by one path first, half by the other.
    visit(users[::2], "pages")
    visit(users[1::2], "api")
    for name in (*SHARED, *SHARED):
        visit(users, name)
    for user in users:
        first, *later = (answer.all("set-cookie") for answer in user.answers)
        assert len(first) == 1
        assert COOKIE.fullmatch(first[0])
        assert not any(later)
    proof(f"{order}: users of {USERS} with two buckets, or cookies", 0)
    grown = cluster.responses(SYSTEM, GATEWAY) - before
    counted: Counter[tuple[str, str]] = Counter()
    for (rollout, version, _), count in grown.items():
        if rollout.endswith(f".{MANY}"):
            counted[rollout, version] += count
    assert counted == dealt
    assert len(counted) == 4
    proof("series by VirtualService and version, as the weights of each say", 4)


def test_pins_of_one_leave_the_paths_of_the_other_alone(
    order: str, proof: Proof
) -> None:
    for path, weights in SHARED.values():
        for version in THREE:
            answer = pinned(path, version)
            if version in weights:
                assert answer.body == f"near {version} (pinned)\n"
                assert not answer.all("x-version-pin")
            else:
                # Dealt as ever, though the other one has this version.
                [served] = answer.tags
                assert served in weights
                told = [f"not-routed; served={served}"]
                assert answer.all("x-version-pin") == told
    proof(f"{order}: pins that took the other's paths", 0)


def test_no_policy_sees_two_at_once(proof: Proof) -> None:
    both = yaml.safe_dump_all(virtual_service(name) for name in SHARED)
    anew = ("replace", "--dry-run=server", "-f", "-")
    said = cluster.kubectl(*anew, text=both, check=False)
    assert said.count("replaced (server dry run)") == len(SHARED), said
    assert "Warning" not in said
    proof("warnings of weights that differ between two VirtualServices", 0)


def pinned(path: str, version: str) -> Answer:
    """What a tester gets."""
    return ask(path, PATHS_HOST, x_version_pin=version)


def test_without_the_exception_pins_of_the_older_take_all_paths(proof: Proof) -> None:
    join("api")
    with cluster.changed(APPS / "many.yaml", without_exceptions):
        cluster.until(
            "a pin of the pages takes a path of the API",
            lambda: pinned(API, "v1").tags == ["v1"],
        )
        # Who does not pin is served right: a route without a match is put last.
        user = User(host=PATHS_HOST)
        for path, weights in SHARED.values():
            user.ask(path)
            assert user.answers[-1].version == bucket.picked(user.bucket, weights)
    cluster.until("it does not any more", lambda: pinned(API, "v1").tags != ["v1"])
    proof("without `withoutHeaders` the pins of the older take its paths", "✔")


def without_exceptions(objects: list[cluster.Json]) -> None:
    """A change of what is applied: the pages say nothing of the API's paths."""
    [pages] = [each for each in objects if each["metadata"]["name"] == "pages"]
    for route in pages["spec"]["http"]:
        [match] = route["match"]
        del match["withoutHeaders"]
        if not match:
            del route["match"]


def test_for_callers_inside_one_of_them_has_the_host(proof: Proof) -> None:
    def inside(objects: list[cluster.Json]) -> None:
        for each in objects:
            if each["metadata"]["name"] in SHARED:
                each["spec"]["gateways"].append("mesh")

    [older, _] = join("api")
    with cluster.changed(APPS / "many.yaml", inside):
        found = cluster.until(
            "a sidecar has routes of the host",
            lambda: virtual_services(routes(PATHS_HOST, NAMESPACE, "caller")),
        )
    assert found == [older]
    proof("VirtualServices of one host that a sidecar takes: the oldest", len(found))
