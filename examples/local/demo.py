"""Shows bluegreen on real Envoys, and checks each claim while it makes it.

`make demo` runs it; with KEEP=1 it leaves everything running. Ends with 1 when a
claim does not hold.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from math import sqrt
from types import FrameType

from kept import keep
from mesh import RUN, VERSIONS, Mesh
from show import ClaimError, by_bucket, claim, command, console, part, share, table
from users import User, visit

USERS = 200
TIMES = 10
RAMP = (0, 10, 30, 50, 100)


def main() -> int:
    """Tells the story; the exit status."""
    signal.signal(signal.SIGTERM, _stop)
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
    """The seven parts."""
    istio_alone(mesh)
    users = with_the_filter(mesh)
    a_tester(mesh)
    a_ramp(mesh, users)
    a_rollback(mesh, users)
    green_dies(mesh, users)
    counters(mesh)


def istio_alone(mesh: Mesh) -> None:
    """Dice for every request."""
    part(1, "Istio alone, 70/30", f"{USERS} users make {TIMES} requests each.")
    users = [User() for _ in range(USERS)]
    with mesh.plain_gateway() as gateway, console.status("Asking …"):
        port = gateway.port("0.0.0.0_8080")
        visit(f"http://127.0.0.1:{port}", users, TIMES)
    answers = Counter(version for user in users for version in user.seen)
    for version in VERSIONS:
        console.print(share(version, answers[version], USERS * TIMES))
    flipped = sum(user.flipped for user in users)
    console.print()
    claim("the split of the requests is right", is_share(answers, 0.3))
    claim(f"{flipped} of {USERS} users saw both versions", flipped > USERS / 2)


def with_the_filter(mesh: Mesh) -> list[User]:
    """The same users, each with a bucket."""
    part(2, "With the filter, 70/30", "The same again. Users keep their cookie.")
    mesh.shift(30)
    users = [User() for _ in range(USERS)]
    with console.status("Asking …"):
        visit(mesh.url, users, TIMES)
    versions = Counter(user.version for user in users)
    for version in VERSIONS:
        console.print(share(version, versions[version], USERS))
    console.print("\n  users by bucket, 0 to 99")
    console.print("  ", by_bucket(places(users)), sep="")
    console.print()
    claim("no user saw both versions", not any(user.flipped for user in users))
    claim("the split of the users is right", is_share(versions, 0.3))
    claim("each has a cookie", all(user.cookie for user in users))
    return users


def a_tester(mesh: Mesh) -> None:
    """Pins, by the very commands."""
    part(3, "A tester", "Green has weight 0. Nobody sees it, but who asks for it.")
    mesh.shift(0)
    answer = curl("-H 'x-version-pin: green'", mesh.json_url)
    claim("green answers", "x-served-version: green" in answer)
    console.print("\nA version that does not exist:\n")
    answer = curl("-H 'x-version-pin: purple'", mesh.json_url)
    told = "x-version-pin: rejected; reason=unknown-version"
    claim("the tester is told, and gets the page all the same", told in answer)
    console.print("\nA VirtualService whose author forgot the pin routes:\n")
    mesh.shift(0, pins=False)
    answer = curl("-H 'x-version-pin: green'", mesh.json_url)
    told = "x-version-pin: not-routed; served=blue"
    claim("the tester is told who answered instead", told in answer)


def a_ramp(mesh: Mesh, users: list[User]) -> None:
    """Weights move, and users with them."""
    part(4, "A ramp", "The weights move; the same users come back after each step.")
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
    """No cookie to expire."""
    part(5, "Rollback", "Green fails its review: 100/0.")
    mesh.shift(0)
    visit(mesh.url, users)
    there = sum(user.version == "blue" for user in users)
    claim(f"{there} of {USERS} are back on blue at their next request", there == USERS)


def green_dies(mesh: Mesh, users: list[User]) -> None:
    """What a dead version looks like."""
    part(6, "Green dies", "At 70/30 green's application stops; its sidecar lives.")
    mesh.shift(30)
    visit(mesh.url, users)
    of_green = [user for user in users if user.version == "green"]
    mesh.stop_app("green")
    before = responses(mesh)
    visit(mesh.url, users)
    seen = Counter(user.version for user in users)
    counted = responses(mesh) - before
    claim(f"green's {len(of_green)} users get 503", seen["503"] == len(of_green))
    claim("the others notice nothing", seen["blue"] == USERS - len(of_green))
    greens = counted["green", "identity-cookie"]
    claim("their responses are counted as green's", greens == len(of_green))
    console.print()
    answer = curl(f"-H 'cookie: {of_green[0].cookie}'", mesh.json_url)
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


def counters(mesh: Mesh) -> None:
    """What the gateway counted."""
    part(7, "The gateway's counters", "bluegreen_responses_total since the start.")
    counted = responses(mesh)
    sources = sorted({source for _, source in counted})
    versions = [*VERSIONS, "none"]
    rows = table("bg_source", *(f" {version}" for version in versions))
    for source in sources:
        rows.add_row(source, *(str(counted[version, source]) for version in versions))
    console.print(rows)
    rejected = mesh.gateway.stats("bg_reason.*bluegreen_rejected_total")
    rows = table("bg_reason", " rejected")
    reasons = Counter(
        {re.findall("bg_reason=.=(.*?);", name)[0]: n for name, n in rejected.items()}
    )
    for reason, count in reasons.items():
        rows.add_row(reason, str(count))
    console.print()
    console.print(rows)
    console.print()
    claim("each user was minted once", sum_of(counted, "minted") == USERS + 1)
    claim("one pin was refused", reasons["pin-unknown-version"] == 1)
    claim("one pin was not routed", reasons["pin-not-routed"] == 1)


def responses(mesh: Mesh) -> Counter[tuple[str, str]]:
    """The gateway's responses by version and source; those that grew."""
    pattern = re.compile("bg_version=.=(.*?);.;bg_source=.=(.*?);.;")
    counted: Counter[tuple[str, str]] = Counter()
    for name, count in mesh.gateway.stats("bluegreen_responses_total").items():
        version, source = pattern.findall(name)[0]
        if count:
            counted[version, source] += count
    return counted


def sum_of(counted: Counter[tuple[str, str]], source: str) -> int:
    """The responses of one source."""
    return sum(count for (_, of), count in counted.items() if of == source)


def places(users: list[User]) -> dict[int, str]:
    """The version of each bucket that a user has."""
    return {user.bucket: user.version for user in users if user.bucket is not None}


def is_share(counts: Counter[str], green: float) -> bool:
    """Whether green's share is within four standard deviations."""
    total = counts.total()
    return abs(counts["green"] - total * green) < 4 * sqrt(total * green * (1 - green))


def curl(options: str, url: str) -> str:
    """Runs curl and shows it; the answer's headers and body."""
    line = f"curl -si {options} {url}"
    done = subprocess.run(
        shlex.split(line), capture_output=True, text=True, check=True, timeout=10
    )
    hidden = ("date:", "server:", "content-", "x-envoy-")
    shown = [
        text
        for text in done.stdout.replace("\r", "").splitlines()
        if text and not text.startswith(hidden)
    ]
    command(line, "\n".join(shown))
    return done.stdout


def _stop(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
