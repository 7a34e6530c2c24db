"""Shows bluegreen on real Envoys, and checks each claim while it makes it.

`make demo` runs it; with KEEP=1 it leaves everything running. Ends with 1 when a
claim does not hold.
"""

import os
import re
import signal
import sys
import time
from collections import Counter
from math import sqrt

from kept import keep
from mesh import DOCS, RUN, STOCK, STOCK_VERSIONS, VERSIONS, Envoy, Mesh
from show import ClaimError, by_bucket, claim, console, exchange, part, shares, table
from users import User, answers, visit

USERS = 200
TIMES = 10
A_FEW_TIMES = 3
RAMP = (0, 10, 30, 50, 100)
GATEWAYS = ("gateway-blue", "gateway-green")

# A request to docs with all that the filter reads elsewhere.
TO_DOCS = {
    "host": DOCS,
    "cookie": "bluegreen-id=00c0ffee00c0ffee; bluegreen-pin=green",
    "x-version-pin": "green",
}


def main() -> int:
    """Tells the story; the exit status."""
    # SIGTERM does what Ctrl-C does, also where a shell had the latter ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    began = time.monotonic()
    try:
        with Mesh() as mesh:
            tell(mesh)
            console.print(f"\nAll of it holds. [dim]({time.monotonic() - began:.0f} s)")
            if os.environ.get("KEEP"):
                keep(mesh)
        return 0
    except ClaimError as error:
        console.print(f"\n[bold red]This does not hold:[/] {error}")
    except KeyboardInterrupt:
        console.print("\nStopped.")
        return 130
    except Exception as error:  # noqa: BLE001 (whatever it is, the logs help)
        console.print(f"\n[bold red]{type(error).__name__}:[/] {error}")
    console.print(f"Logs: {RUN.parent}/runs/demo-*/envoy.log")
    return 1


def tell(mesh: Mesh) -> None:
    """Tells all nine parts."""
    docs = istio_alone(mesh)
    users = with_the_filter(mesh)
    other_applications(mesh, docs)
    a_tester(mesh)
    a_ramp(mesh, users)
    a_rollback(mesh, users)
    green_dies(mesh, users)
    an_edge(mesh)
    counters(mesh)


def istio_alone(mesh: Mesh) -> set[str]:
    """Shows a random pick for each request; returns what docs answers."""
    part(1, "Istio alone, 70/30", f"{USERS} users make {TIMES} requests each.")
    users = [User() for _ in range(USERS)]
    with mesh.plain_gateway() as gateway, console.status("Asking …"):
        url = f"http://127.0.0.1:{gateway.port('0.0.0.0_8080')}"
        visit(url, users, TIMES)
        docs = answers(url, TO_DOCS)
    requests = Counter(version for user in users for version in user.seen)
    shares(requests, VERSIONS)
    flipped = sum(user.flipped for user in users)
    claim("the split of the requests is right", is_share(requests, 0.3))
    claim(f"{flipped} of {USERS} users saw both versions", flipped > USERS / 2)
    return docs


def with_the_filter(mesh: Mesh) -> list[User]:
    """Shows one version for each user; returns the users."""
    part(2, "With the filter, 70/30", "The same again. Users keep their cookie.")
    mesh.shift(30)
    users = [User() for _ in range(USERS)]
    with console.status("Asking …"):
        visit(mesh.url, users, TIMES)
    versions = Counter(user.version for user in users)
    shares(versions, VERSIONS)
    console.print("  users by bucket, 0 to 99")
    console.print("  ", by_bucket(places(users)), sep="")
    console.print()
    claim("no user saw both versions", not any(user.flipped for user in users))
    claim("the split of the users is right", is_share(versions, 0.3))
    claim("each got one cookie", all(user.given == 1 for user in users))
    claim("each response says its version", tagged(users))
    return users


def other_applications(mesh: Mesh, docs: set[str]) -> None:
    """Shows a rollout of Services, and an application that takes no part."""
    part(
        3,
        "Two more applications behind the same gateway",
        "stock takes part, at 50/50. Its versions are Services, not subsets.",
    )
    users = [User() for _ in range(USERS)]
    with console.status("Asking …"):
        visit(mesh.url, users, A_FEW_TIMES, STOCK)
    versions = Counter(user.version for user in users)
    shares(versions, STOCK_VERSIONS)
    claim("no user saw both versions", not any(user.flipped for user in users))
    claim("each response says its version: the Service", tagged(users))
    console.print("\ndocs takes no part: its route has no name of ours.\n")
    before = mesh.gateway.stats("bluegreen")
    ask(mesh, "x-version-pin: green", DOCS)
    now = answers(mesh.url, TO_DOCS, USERS)
    claim(f"{USERS} responses are what Istio alone gave, to the letter", now == docs)
    claim("no counter of ours moved", mesh.gateway.stats("bluegreen") == before)


def a_tester(mesh: Mesh) -> None:
    """Shows pins, by the requests that a tester sends."""
    part(
        4,
        "A tester",
        "shop's green has weight 0: only a tester who asks for it gets it.",
    )
    mesh.shift(0)
    answer = ask(mesh, "x-version-pin: green")
    claim("green answers", "x-served-version: green" in answer)
    claim("no cache may keep it", "cache-control: private, no-store" in answer)
    console.print("\nThe same pin takes stock's green, a Service:\n")
    answer = ask(mesh, "x-version-pin: green", STOCK)
    claim("stock-green answers", "x-served-version: stock-green" in answer)
    console.print("\nA version that no route takes:\n")
    answer = ask(mesh, "x-version-pin: purple")
    told = "x-version-pin: not-routed; served=blue"
    claim("the tester is told who answered instead", told in answer)
    console.print("\nWhat cannot be the name of a version:\n")
    answer = ask(mesh, "x-version-pin: Green!")
    told = "x-version-pin: rejected; reason=malformed"
    claim("the tester is told, and gets the page all the same", told in answer)


def a_ramp(mesh: Mesh, users: list[User]) -> None:
    """Shows who moves when the weights do."""
    part(5, "A ramp", "The weights move; the same users come back after each step.")
    rows = table(" weight", "users by bucket, 0 to 99", " green", " moved", " back")
    back = 0
    for step, green in enumerate(RAMP):
        mesh.shift(green)
        before = [user.version for user in users]
        visit(mesh.url, users)
        after = [user.version for user in users]
        changes = Counter(zip(before, after, strict=True))
        moved = changes["blue", "green"]
        if step:
            back += changes["green", "blue"]
        count = str(after.count("green"))
        gone = str(changes["green", "blue"]) if step else "0"
        rows.add_row(f"{green} %", by_bucket(places(users)), count, str(moved), gone)
    console.print(rows)
    console.print()
    claim("nobody moved back", back == 0)
    claim("at 100 % all are on green", {user.version for user in users} == {"green"})


def a_rollback(mesh: Mesh, users: list[User]) -> None:
    """Shows that the weights alone move everybody back."""
    part(6, "Rollback", "Green fails its review: 100/0.")
    mesh.shift(0)
    visit(mesh.url, users)
    there = sum(user.version == "blue" for user in users)
    claim(f"{there} of {USERS} are back on blue at their next request", there == USERS)


def green_dies(mesh: Mesh, users: list[User]) -> None:
    """Shows what users and operators see of a version that fails."""
    part(7, "Green dies", "At 70/30 green's application stops; its sidecar lives.")
    mesh.shift(30)
    visit(mesh.url, users)
    of_green = [user for user in users if user.version == "green"]
    mesh.stop_app("green")
    before = responses(mesh.gateway)
    visit(mesh.url, users)
    seen = Counter(user.version for user in users)
    counted = responses(mesh.gateway) - before
    claim(f"green's {len(of_green)} users get 503", seen["503"] == len(of_green))
    claim("the others notice nothing", seen["blue"] == USERS - len(of_green))
    failed = counted["shop.shop", "green", "identity-cookie", "5xx"]
    claim("they are counted for green, with bg_code 5xx", failed == len(of_green))
    console.print()
    answer = ask(mesh, f"cookie: {of_green[0].cookie}")
    claim("and tagged: green's sidecar answers", "x-served-version: green" in answer)
    console.print("\nThe way out is the weights: 100/0.\n")
    mesh.shift(0)
    visit(mesh.url, users)
    claim("everybody is served", {user.version for user in users} == {"blue"})
    mesh.start_app("green")
    mesh.shift(30)
    visit(mesh.url, users)
    again = [user for user in users if user.version == "green"]
    claim("green is back, and has the same users", again == of_green)
    stock_green_dies(mesh)


def stock_green_dies(mesh: Mesh) -> None:
    """Shows that the gateway counts a version that cannot answer."""
    console.print(
        "\nstock-green has no sidecar. It stops, and nobody answers for it:\n"
    )
    mesh.stop_app("stock-green")
    before = responses(mesh.gateway)
    answer = ask(mesh, "x-version-pin: green", STOCK)
    claim("no tag, as no version answered", "x-served-version" not in answer)
    counted = responses(mesh.gateway) - before
    failed = counted["stock.shop", "stock-green", "pin-header", "5xx"]
    claim("counted for the version that was picked", failed == counted.total() == 1)
    mesh.start_app("stock-green")


def an_edge(mesh: Mesh) -> None:
    """Shows that two gateways, one behind the other, know one user."""
    part(
        8,
        "A gateway in front",
        "An edge gateway in front of two gateways, which are in a rollout of their own.",
        f"{USERS} new users make {A_FEW_TIMES} requests each.",
    )
    users = [User() for _ in range(USERS)]
    with mesh.edge() as edge, console.status("Asking …"):
        before = responses(mesh.gateway)
        visit(edge.url, users, A_FEW_TIMES)
        at_edge = responses(edge.gateway)
        first, second = (responses(gateway) for gateway in edge.behind)
    behind = first - before + second
    gateways = Counter(
        {v: n for (_, v, source, _), n in at_edge.items() if source == "minted"}
    )
    shares(gateways, GATEWAYS)
    shares(Counter(user.version for user in users), VERSIONS)
    claim("no user saw both versions", not any(user.flipped for user in users))
    minted = total(at_edge, "gateway.edge", "minted")
    once = all(user.given == 1 for user in users)
    claim("each got one cookie, from the edge", once and minted == USERS)
    known = total(behind, "shop.shop", "identity-cookie")
    claim(
        "the gateways behind it know each user from the first request on",
        known == behind.total() == USERS * A_FEW_TIMES,
    )


def counters(mesh: Mesh) -> None:
    """Shows what the gateway counted."""
    part(9, "The gateway's counters", "bluegreen_responses_total since the start.")
    counted = responses(mesh.gateway)
    sources = sorted({source for _, _, source, _ in counted})
    labels = ("bg_rollout", "bg_version", "bg_code")
    rows = table(*labels, *(f" {source}" for source in sources))
    for rollout, version, code in sorted({(r, v, c) for r, v, _, c in counted}):
        counts = (counted[rollout, version, source, code] for source in sources)
        rows.add_row(rollout, version, code, *map(str, counts))
    console.print(rows)
    rejected = labelled(mesh.gateway, "bluegreen_rejected_total")
    rows = table("bg_rollout", "bg_reason", " rejected")
    for (rollout, reason), count in sorted(rejected.items()):
        rows.add_row(rollout, reason, str(count))
    console.print()
    console.print(rows)
    console.print()
    minted = total(counted, "shop.shop", "minted")
    claim("shop minted once for each user, and for one tester", minted == USERS + 1)
    minted = total(counted, "stock.shop", "minted")
    claim("stock minted once for each user", minted == USERS)
    rollouts = {rollout for rollout, *_ in counted}
    claim("docs is not among them", rollouts == {"shop.shop", "stock.shop"})
    once = {("shop.shop", "pin-malformed"): 1, ("shop.shop", "pin-not-routed"): 1}
    claim("a pin was not routed, and one was malformed", rejected == once)


Counts = Counter[tuple[str, ...]]


def responses(gateway: Envoy) -> Counts:
    """A gateway's responses by rollout, version, source and code."""
    return labelled(gateway, "bluegreen_responses_total")


def labelled(gateway: Envoy, name: str) -> Counts:
    """A counter of the filter's by the values of its labels, in their order."""
    counted = Counter()
    for stat, count in gateway.stats(name).items():
        counted[tuple(re.findall(r"=\.=(.*?);\.;", stat))] = count
    return counted


def total(counted: Counts, rollout: str, source: str) -> int:
    """The responses of one rollout and source."""
    return sum(n for (r, _, s, _), n in counted.items() if (r, s) == (rollout, source))


def tagged(users: list[User]) -> bool:
    """Whether each response said the version that answered."""
    return all(user.tags == user.seen for user in users)


def places(users: list[User]) -> dict[int, str]:
    """The version of each bucket that a user has, 0 to 99."""
    return {user.bucket: user.version for user in users if user.bucket is not None}


def is_share(counts: Counter[str], green: float) -> bool:
    """Whether green's share is within four standard deviations."""
    total = counts.total()
    return abs(counts["green"] - total * green) < 4 * sqrt(total * green * (1 - green))


def ask(mesh: Mesh, header: str, host: str = "127.0.0.1") -> str:
    """Sends one request with a header, and shows both sides; returns the answer."""
    request, answer = mesh.ask(header, host)
    hidden = ("date:", "server:", "content-", "x-envoy-")
    exchange(request, [line for line in answer if not line.startswith(hidden)])
    return "\n".join(answer)


if __name__ == "__main__":
    sys.exit(main())
