"""Down the chain: three services that know nothing of versions, with and without an agent.

The applications are those of examples/chain: Flask and node's express, which forward no
header themselves. What reaches the second and third service is what an agent of
OpenTelemetry passes on.
"""

from collections import Counter
from collections.abc import Iterator

import cluster
import images
import pytest
import readme
from cluster import CHAIN, CHAIN_HOSTS, FILTER, kubectl
from kit.envoy import ROOT
from report import Proof
from users import User, all_ask, ask, returning

README = ROOT / "examples/chain/README.md"
STRANGERS = FILTER / "baggage/strangers.yaml"

SHOP, PLAIN, OPEN = CHAIN_HOSTS
TIMES = 40
USERS = 40
GREEN = 50


def versions(blue_or_green: str) -> str:
    """What the shop says when it and those behind it are of one version."""
    return " > ".join(f"{name} {blue_or_green}" for name in ("shop", "cart", "stock"))


def answers(host: str, path: str = "/", **headers: str) -> Counter[str]:
    """What so many requests were answered."""
    got = [ask(path, host, **headers) for _ in range(TIMES)]
    assert {answer.status for answer in got} == {200}
    return Counter(answer.body for answer in got)


@pytest.fixture(scope="module")
def page(
    shop: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[readme.Section]]:
    """The page's parts, of which all are run but the last, which is run later."""
    images.push()
    gone = ("--for=delete", f"namespace/{CHAIN}", "--timeout=90s")
    kubectl("wait", *gone)
    parts = readme.sections(README)
    with readme.typing(tmp_path_factory.mktemp("home")) as shell:
        for part in parts[:-1]:
            part.run(shell, settle)
        kubectl("apply", "-f", cluster.APPS / "open.yaml")
        yield parts
        parts[-1].run(shell, settle)
    readme.settled(README, parts)


def settle(command: str, _: str) -> None:
    """Waits, as a person does, until the proxies have what was applied."""
    if "kubectl -n chain wait" in command:
        cluster.until("both versions of the first service answer", first_hop_holds)
    if '"baggage": {}' in command:
        cluster.until("pins reach the last service", pins_hold)


def first_hop_holds() -> bool:
    """Whether the gateway's routes and filter know the first services."""
    return all(
        f"{name} {version} > " in ask("/", host, x_version_pin=version).body
        for name, host in (("shop", SHOP), ("plain", PLAIN))
        for version in cluster.VERSIONS
        for _ in range(3)
    )


def pins_hold() -> bool:
    """Whether all proxies have the filter with baggage."""
    return all(
        ask("/", SHOP, x_version_pin=version).body == versions(version)
        for version in cluster.VERSIONS
        for _ in range(9)
    )


pytestmark = pytest.mark.usefixtures("page")


def test_every_command_of_the_page(page: list[readme.Section], proof: Proof) -> None:
    for part in page:
        if part.count and not part.different:
            proof(f"{part.heading}: commands that work as shown", part.count)
    readme.settled(README, page)


def test_a_pin_holds_at_each_hop(proof: Proof) -> None:
    for version in cluster.VERSIONS:
        pinned = answers(SHOP, x_version_pin=version)
        assert pinned == {versions(version): TIMES}
    proof("pinned requests of one version on three hops, by header", 2 * TIMES)
    pinned = answers(SHOP, "/?version-pin=green")
    assert pinned == {versions("green"): TIMES}
    proof("and by query", TIMES)


def test_users_are_dealt_once(proof: Proof) -> None:
    users = returning(USERS, SHOP)
    all_ask(users, 2, "/")
    for user in users:
        due = versions(user.expected(GREEN))
        assert [answer.body for answer in user.answers] == [due] * 2
    both = {user.expected(GREEN) for user in users}
    assert both == set(cluster.VERSIONS)
    proof("users by cookie of one version on three hops", USERS)
    new = [User(host=SHOP) for _ in range(USERS)]
    all_ask(new, 2, "/")
    for user in new:
        due = versions(user.expected(GREEN))
        assert [answer.body for answer in user.answers] == [due] * 2
    proof("new users, from their first request on", USERS)


def test_one_service_deep_in_the_chain_is_pinned_alone(proof: Proof) -> None:
    user = returning(1, SHOP)[0]
    mine = user.expected(GREEN)
    [other] = set(cluster.VERSIONS) - {mine}
    due = versions(mine).replace(f"stock {mine}", f"stock {other}")
    pinned = answers(SHOP, x_version_pin=f"stock={other}", cookie=user.cookie)
    assert pinned == {due: TIMES}
    proof("requests that pin the last service alone", TIMES)
    pinned = answers(SHOP, x_version_pin="shop=blue,cart=green,stock=blue")
    assert pinned == {"shop blue > cart green > stock blue": TIMES}
    proof("requests that pin each service differently", TIMES)


def test_without_an_agent_istio_rolls_dice(proof: Proof) -> None:
    pinned = answers(PLAIN, x_version_pin="green")
    # The first service is pinned, and nobody tells those behind it. All on one side:
    # once in 10^11 runs.
    assert all(answer.startswith("plain green > ") for answer in pinned)
    assert len(pinned) > 1
    right = pinned["plain green > cart green > stock green"]
    assert right < TIMES
    proof(f"pinned requests of {TIMES} on three hops, without an agent", right)


def test_the_hops_that_live_on_baggage_are_counted(proof: Proof) -> None:
    before = cluster.responses(CHAIN, "shop-green")
    answers(SHOP, x_version_pin="green")
    grown = cluster.responses(CHAIN, "shop-green") - before
    assert grown == {(f"cart.{CHAIN}", "green", "pin-baggage"): TIMES}
    user = next(u for u in returning(USERS, SHOP) if u.expected(GREEN) == "green")
    before = cluster.responses(CHAIN, "cart-green")
    answers(SHOP, cookie=user.cookie)
    grown = cluster.responses(CHAIN, "cart-green") - before
    assert grown == {(f"stock.{CHAIN}", "green", "bucket-baggage"): TIMES}
    proof("calls counted as by baggage", 2 * TIMES)


def test_a_stranger_pins_nothing_by_baggage(proof: Proof) -> None:
    stranger = {"baggage": "bluegreen-pin=green, %62luegreen-pin=green"}
    user = next(u for u in returning(USERS, SHOP) if u.expected(GREEN) == "blue")
    got = answers(SHOP, cookie=user.cookie, **stranger)
    assert got == {versions("blue"): TIMES}
    proof("requests that a stranger's baggage pins, on a route of ours", 0)
    got = answers(OPEN, **stranger)
    assert len(got) > 1, got
    proof("and on one of others, of which the next hops are dice", 0)
    # So that the test can fail: without the file it does pin, by way of the agent.
    kubectl("delete", "-f", STRANGERS)
    try:
        due = {"shop blue > cart green > stock green": TIMES}
        cluster.until("the filters are gone", lambda: answers(OPEN, **stranger) == due)
    finally:
        kubectl("apply", "-f", STRANGERS)
    cluster.until("they are back", lambda: len(answers(OPEN, **stranger)) > 1)
