"""Two gateways: one in front of the mesh's, with one and the same configuration."""

from collections import Counter
from collections.abc import Callable, Iterator

import cluster
import pytest
from cluster import APPS, EDGE, GATEWAY, NAMESPACE, OUTBOUND, SYSTEM
from kit import bucket
from report import Proof
from users import COOKIE, User, all_ask, ask

USERS = 100
TIMES = 3
GREEN = 30
# As apps/edge.yaml has them.
WEIGHTS = {"blue": 50, "green": 50}
PORT = 8080

pytestmark = pytest.mark.usefixtures("shop")


@pytest.fixture(scope="module")
def edge(shop: None) -> Iterator[str]:
    """The address of the gateway in front."""
    cluster.apply(APPS / "edge.yaml")
    cluster.rolled_out(EDGE, EDGE)
    cluster.until(
        "the filter runs there", lambda: cluster.wrong(EDGE, EDGE) == {OUTBOUND: 0}
    )
    cluster.until("it picks by the bucket", lambda: cluster.by_bucket(EDGE, EDGE))
    [pod] = cluster.pods(EDGE, f"istio={EDGE}")
    address = f"{pod['status']['podIP']}:{PORT}"
    cluster.until("a new user gets a cookie", lambda: ask(to=address).all("set-cookie"))
    yield address
    cluster.kubectl("delete", "namespace", EDGE, "--wait=false")


def test_no_user_flips_and_one_cookie_in_all(edge: str, proof: Proof) -> None:
    before = cluster.responses(EDGE, EDGE), cluster.responses(SYSTEM, GATEWAY)
    users = [User(to=edge) for _ in range(USERS)]
    all_ask(users, TIMES, "/")
    for user in users:
        assert user.seen == {user.expected(GREEN)}
        for answer in user.answers:
            why = f"bucket {user.digits}"
            assert answer.body == (
                f"shop {answer.version} ({why}), stock {answer.version} ({why})\n"
            )
            assert answer.tags == [answer.version]
            assert answer.all("x-edge-bucket") == [str(user.bucket)]
        first, *later = (answer.all("set-cookie") for answer in user.answers)
        assert len(first) == 1
        assert COOKIE.fullmatch(first[0])
        assert later == [[]] * (TIMES - 1)
    proof(f"users of {USERS} who saw both versions, or have two buckets", 0)
    proof("cookies that each of them got, in all", 1)
    at_edge = cluster.responses(EDGE, EDGE) - before[0]
    behind = cluster.responses(SYSTEM, GATEWAY) - before[1]
    # The edge deals by the same bucket.
    dealt = Counter(bucket.picked(user.bucket, WEIGHTS) for user in users)
    minted = {v: at_edge["edge.edge", v, "minted"] for v in WEIGHTS}
    assert minted == dealt
    assert at_edge.total() == USERS * TIMES
    shop = {each: n for each, n in behind.items() if each[0] == f"shop.{NAMESPACE}"}
    assert {source for _, _, source in shop} == {"identity-cookie"}
    assert sum(shop.values()) == USERS * TIMES
    proof("requests of users that the gateway behind did not know", 0)


def test_pins_go_through_both(edge: str, proof: Proof) -> None:
    pinned = "shop green (pinned), stock green (pinned)\n"

    def check_pinned(path: str, **headers: str) -> list[str]:
        answer = ask(path, to=edge, **headers)
        assert answer.body == pinned
        assert answer.tags == ["green"]
        assert not answer.all("x-version-pin")
        assert answer.all("cache-control") == ["private, no-store"]
        lines = answer.all("set-cookie")
        return [line for line in lines if not line.startswith("bluegreen-id=")]

    assert check_pinned("/", x_version_pin="green") == []
    [line] = check_pinned("/?version-pin=green")
    cookie = line.partition(";")[0]
    assert cookie == "bluegreen-pin=green"
    assert check_pinned("/", cookie=cookie) == []
    proof("pins by header, query and cookie, which is set once", 3)
    user = f"{cookie}; bluegreen-id=00c0ffee00c0ffee"
    answer = ask("/?version-pin=none", to=edge, cookie=user)
    assert "pinned" not in answer.body
    cleared = set(answer.all("set-cookie"))
    assert cleared == {"bluegreen-pin=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax"}
    proof("`none` at the edge holds behind it, whatever the cookie says", "✔")
    answer = ask("/", to=edge, x_version_pin="Green!")
    assert answer.all("x-version-pin") == ["rejected; reason=malformed"]
    assert "pinned" not in answer.body
    proof("a malformed pin is told by the edge, once", "✔")


def test_the_edge_lets_no_bucket_in(edge: str, proof: Proof) -> None:
    cookie = "bluegreen-id=00c0ffee00c0ffee"
    number = bucket.of(cookie.partition("=")[2].encode(), cluster.HOST.encode())
    for stranger in ("0", "99"):
        body = ask("/", to=edge, cookie=cookie, x_bluegreen_bucket=stranger).body
        assert f"(bucket {number % 100}), " in body
    proof("strangers' buckets that counted, at either gateway", 0)


def test_a_host_that_the_edge_rewrites(
    edge: str, own_settings: Callable[[str, cluster.Json], None], proof: Proof
) -> None:
    """Each deals by the host that it sees; by one salt for both hosts, alike."""
    behind = "depot.example"
    users = [f"{n:016x}" for n in range(USERS)]

    def rewritten(objects: list[cluster.Json]) -> None:
        for route in objects[-1]["spec"]["http"]:
            route["rewrite"] = {"authority": behind}

    def both(user: str) -> tuple[str, str]:
        """The bucket of the edge, and the last digits of that of the gateway behind."""
        answer = ask("/", to=edge, cookie=f"bluegreen-id={user}")
        [number] = answer.all("x-edge-bucket")
        return number, answer.body.partition("(bucket ")[2].partition(")")[0]

    def due(user: str, *salts: str) -> tuple[str, str]:
        numbers = [bucket.of(user.encode(), salt.encode()) for salt in salts]
        return str(numbers[0]), str(numbers[1] % 100)

    with cluster.changed(APPS / "edge.yaml", rewritten):
        hosts = (cluster.HOST, behind)
        cluster.until("it rewrites", lambda: both(users[0]) == due(users[0], *hosts))
        assert all(both(user) == due(user, *hosts) for user in users)
        own_settings("both", {"hosts": list(hosts), "salt": "both"})
        cluster.until(
            "the salt holds", lambda: both(users[0]) == due(users[0], "both", "both")
        )
        assert all(both(user) == due(user, "both", "both") for user in users)
    proof(f"another host behind, one salt: users of {USERS} with two buckets", 0)
