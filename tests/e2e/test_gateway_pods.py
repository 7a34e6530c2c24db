"""Two pods of the gateway: whichever answers, a user is the same one."""

from collections import Counter
from collections.abc import Iterator

import cluster
import pytest
from cluster import GATEWAY, HOST, NAMESPACE, SYSTEM
from report import Proof
from test_failures import asking, strays
from users import COOKIE, User, all_ask, ask

USERS = 100
TIMES = 2
GREEN = 30
PORT = 8080
SELECTOR = "istio=ingressgateway"

pytestmark = pytest.mark.usefixtures("shop")


def scale(replicas: int) -> None:
    """Gives the gateway so many pods."""
    words = (f"deployment/{GATEWAY}", f"--replicas={replicas}")
    cluster.kubectl("-n", SYSTEM, "scale", *words)
    cluster.rolled_out(SYSTEM, GATEWAY)
    cluster.until(
        f"it has {replicas}", lambda: len(cluster.pods(SYSTEM, SELECTOR)) == replicas
    )


def pods() -> dict[str, str]:
    """Those of the gateway, by address, once each of them knows users."""
    found = {
        f"{pod['status']['podIP']}:{PORT}": f"pod/{pod['metadata']['name']}"
        for pod in cluster.pods(SYSTEM, SELECTOR)
    }
    for address in found:
        cluster.until(
            f"{address} gives cookies",
            lambda to=address: ask(to=to).all("set-cookie"),
        )
    return found


@pytest.fixture(scope="module")
def two(shop: None) -> Iterator[dict[str, str]]:
    """Two pods of the gateway, by address; later as many as there were."""
    deployment = cluster.get("-n", SYSTEM, "deployment", GATEWAY)
    try:
        with asking() as running:
            scale(2)
            assert not strays(running)
        yield pods()
    finally:
        scale(deployment["spec"]["replicas"])


def test_a_user_is_the_same_at_both(two: dict[str, str], proof: Proof) -> None:
    before = {pod: cluster.responses(SYSTEM, pod) for pod in two.values()}
    first, second = two
    # Half of them come to one pod first, half to the other.
    users = [User(to=to) for to in (first, second) for _ in range(USERS // 2)]
    for _ in range(TIMES):
        all_ask(users, 1, "/")
        for user in users:
            user.to = second if user.to == first else first
        all_ask(users, 1, "/")
    for user in users:
        why = f"bucket {user.digits}"
        version = user.expected(GREEN)
        for answer in user.answers:
            assert answer.body == f"shop {version} ({why}), stock {version} ({why})\n"
            assert answer.tags == [version]
        cookie, *later = (answer.all("set-cookie") for answer in user.answers)
        assert len(cookie) == 1
        assert COOKIE.fullmatch(cookie[0])
        assert not any(later)
    proof(f"users of {USERS} with another bucket or version at the other pod", 0)
    proof("cookies that each of them got, in all", 1)
    for pod, count in before.items():
        grown = cluster.responses(SYSTEM, pod) - count
        by_source: Counter[str] = Counter()
        for (rollout, _, source), number in grown.items():
            if rollout == f"shop.{NAMESPACE}":
                by_source[source] += number
        # A half minted here, and each user known by what either pod minted.
        minted = USERS // 2
        known = USERS * TIMES - minted
        assert by_source == {"minted": minted, "identity-cookie": known}
    proof("counted by each pod, its own half", USERS * TIMES)


def test_a_pin_holds_at_both(two: dict[str, str], proof: Proof) -> None:
    first, second = two
    [line, *_] = [
        line
        for line in ask("/?version-pin=green", to=first).all("set-cookie")
        if line.startswith("bluegreen-pin=")
    ]
    cookie = line.partition(";")[0]
    for to in (first, second):
        assert ask("/", to=to, cookie=cookie).tags == ["green"]
    proof("pods at which a pin of one of them holds", len(two))


def test_both_restarted_one_after_the_other(two: dict[str, str], proof: Proof) -> None:
    with asking() as running:
        cluster.restart(SYSTEM, GATEWAY)
        now = pods()
        assert len(now) == len(two)
        assert not set(now.values()) & set(two.values())
        assert not strays(running)
        proof("two pods restarted under traffic: users who moved", 0)
    proof(f"failed of {len(running.answers)} requests", running.figure)


def test_new_users_while_one_goes(two: dict[str, str], proof: Proof) -> None:
    users = [User(host=HOST) for _ in range(USERS)]
    all_ask(users, TIMES)
    with asking() as running:
        scale(1)
        all_ask(users, TIMES)
        assert not strays(running)
    assert all(user.seen == {user.expected(GREEN)} for user in users)
    assert not any(a.all("set-cookie") for user in users for a in user.answers[1:])
    proof("two pods become one: users who moved, or got another cookie", 0)
    proof(f"failed of {len(running.answers)} requests", running.figure)
