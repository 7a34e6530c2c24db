"""Services: versions that are no subsets, a sum that is not 100, settings of a host."""

from collections.abc import Callable

import cluster
import pytest
from callers import calls
from cluster import GATEWAY, NAMESPACE, RESPONSES, SYSTEM
from kit import bucket
from report import Proof
from users import User, all_ask, ask

HOST = "depot.example"
# As apps/depot.yaml has them.
WEIGHTS = {"blue": 3, "green": 2}
SALT = b"depot.shop"
ROLLOUT = "depot.shop"

USERS = 100
TIMES = 3
CALLS = 20

pytestmark = pytest.mark.usefixtures("shop")


def counted(namespace: str, deployment: str) -> list[float]:
    """The responses that a proxy counted, of each version."""
    text = cluster.metrics(namespace, deployment)
    return [
        cluster.counter(text, RESPONSES, bg_rollout=ROLLOUT, bg_version=f"depot-{v}")
        for v in WEIGHTS
    ]


def test_by_cookie_at_the_gateway(proof: Proof) -> None:
    before = counted(SYSTEM, GATEWAY)
    users = [User(host=HOST) for _ in range(USERS)]
    all_ask(users, TIMES, "/")
    for user in users:
        version = bucket.picked(user.bucket, WEIGHTS)
        assert user.seen == {version}
        assert all(answer.tags == [f"depot-{version}"] for answer in user.answers)
        assert [len(answer.all("set-cookie")) for answer in user.answers] == [1, 0, 0]
    green = sum(user.seen == {"green"} for user in users)
    proof(f"{USERS} users at 3/2, on green; none saw both", green)
    after = counted(SYSTEM, GATEWAY)
    grown = list(map(float.__sub__, after, before))
    assert grown == [(USERS - green) * TIMES, green * TIMES]
    proof("counted under the names of the Services", f"{sum(grown):.0f}")


def test_inside(proof: Proof) -> None:
    before = counted(NAMESPACE, "caller")
    names = [f"user-{n}" for n in range(CALLS)]
    answers = calls("http://depot/", *(f"x-user-id: {name}" for name in names))
    for name, answer in zip(names, answers, strict=True):
        version = bucket.picked(bucket.of(name.encode(), SALT), WEIGHTS)
        assert answer.version == version
        assert answer.tags == [f"depot-{version}"]
    assert sum(counted(NAMESPACE, "caller")) - sum(before) == CALLS
    proof("users by x-user-id, in a caller's sidecar", CALLS)


def test_pins(proof: Proof) -> None:
    for version in WEIGHTS:
        answer = ask("/", HOST, x_version_pin=version)
        assert answer.tags == [f"depot-{version}"]
        assert answer.version == version
        assert not answer.all("x-version-pin")
        # Its whole name is a name of it, too; no route takes this pin here.
        dealt = ask("/", HOST, x_version_pin=f"depot-{version}")
        [tag] = dealt.tags
        told = [] if tag == f"depot-{version}" else [f"not-routed; served={tag}"]
        assert dealt.all("x-version-pin") == told
    proof("pins by the end of the Services' names", len(WEIGHTS))


def test_two_owners_each_with_settings_of_a_host(
    own_settings: Callable[[str, cluster.Json], None], proof: Proof
) -> None:
    user = User(host=HOST)
    user.ask("/")
    own_settings(
        "depot",
        {
            "hosts": [HOST],
            "salt": "anew",
            "tag": {"when": "pinned"},
            "identity": {"cookie": {"name": "depot-id", "maxAgeSeconds": 0}},
            "pin": {"query": "try"},
        },
    )
    own_settings("docs", {"hosts": [cluster.DOCS_HOST], "pin": None})
    cluster.until("the settings hold", lambda: not ask("/", HOST).tags)
    answer = ask("/", HOST, cookie=user.cookie)
    [line] = answer.all("set-cookie")
    name, _, identity = line.partition(";")[0].partition("=")
    assert line == f"depot-id={identity}; Path=/; HttpOnly; SameSite=Lax"
    for n in range(CALLS):
        identity = f"{n:016x}"
        salted = bucket.of(identity.encode(), b"anew")
        answer = ask("/", HOST, cookie=f"{name}={identity}")
        assert answer.version == bucket.picked(salted, WEIGHTS)
        assert not answer.tags
    answer = ask("/?try=green", HOST)
    assert answer.tags == ["depot-green"]
    assert [each.partition("=")[0] for each in answer.all("set-cookie")] == [
        "depot-id",
        "bluegreen-pin",
    ]
    proof("settings of one host: cookie, salt, tag, pin", "✔")
    # The others have those of the mesh.
    shop = ask()
    assert shop.tags == [shop.version]
    assert shop.all("set-cookie")[0].startswith("bluegreen-id=")
    assert not ask("/?try=green").all("cache-control")
    proof("and the other hosts those of the mesh", "✔")
    there = cluster.get("-n", SYSTEM, "wasmplugin", "bluegreen-outbound")
    assert set(there["spec"]["pluginConfig"]["rollouts"]) == {"depot", "docs"}
    assert cluster.wrong(SYSTEM, GATEWAY) == {cluster.OUTBOUND: 0}
    proof("keys of two owners in one map", 2)
