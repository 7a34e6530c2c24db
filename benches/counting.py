"""What each row costs in instructions: warm requests first, then counted ones."""

from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import cases
from cases import BENCH, Case
from counted import Connection, Count, Counted, count
from kit.envoy import Envoy

# V8 has compiled all there is by then: after 80,000 the counts are the same.
WARM = 2000
# With counting on, valgrind translates the code anew.
SETTLE = 50
COUNTED = 500
# Two counts agree to this, in parts; else there are more of them.
AGREE = 0.0005
# Between requests whose signatures are verified.
PAUSE_SECONDS = 0.011
ATTEMPTS = 8
# Envoys under valgrind, at once. They count the same next to each other.
AT_ONCE = 2


class CaseError(Exception):
    """A row does not do its job, so its cost means nothing."""


@dataclass(frozen=True)
class Row:
    """What a request costs in a case, and with nothing but the router."""

    case: Case
    router: Count
    found: Count
    # By how much two counts differ, in parts: the worse of both.
    noise: float

    @property
    def added(self) -> float:
        """The instructions that are not the router's."""
        return self.found.total - self.router.total

    @property
    def ratio(self) -> float:
        """What is added, in parts of the router's."""
        return self.added / self.router.total


Costs = dict[Case, tuple[Count, float]]
Done = Callable[[str], None]


def measure(wanted: list[Case], run: str, keep: bool, done: Done) -> list[Row]:
    """The rows of these cases. `done` hears of each step; `keep` keeps the profiles."""
    by_proxy = defaultdict(list)
    for case in steps(wanted):
        by_proxy[case.proxy].append(case)
    costs: Costs = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        # The longest first.
        work = sorted(by_proxy.items(), key=lambda each: -len(each[1]))
        futures = [pool.submit(costs_in, *each, run, keep, done) for each in work]
        try:
            for each in as_completed(futures):
                costs |= each.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [row(case, costs) for case in wanted]


def steps(wanted: list[Case]) -> list[Case]:
    """All that is counted for these cases: they, and what they are compared with."""
    return list(dict.fromkeys([*(case.base for case in wanted), *wanted]))


def row(case: Case, costs: Costs) -> Row:
    """One row, by the costs of all cases."""
    (router, router_noise), (found, noise) = costs[case.base], costs[case]
    return Row(case, router, found, max(router_noise, noise))


def costs_in(proxy: str, wanted: list[Case], run: str, keep: bool, done: Done) -> Costs:
    """The costs of cases in one proxy."""
    costs = {}
    with Envoy(cases.upstream(), f"{run}/{proxy}-app", workers=1) as app:
        config = cases.bootstrap(cases.proxies()[proxy], app.port("app"))
        with Counted(config, f"{run}/{proxy}") as envoy:
            for case in wanted:
                try:
                    costs[case] = cost(envoy, case, keep)
                except OSError as error:
                    raise CaseError(f"{case.key}: {error!r}; {envoy.tail()}") from error
                done(case.key)
    return costs


def cost(envoy: Counted, case: Case, keep: bool) -> tuple[Count, float]:
    """What a request costs: the mean of two counts that agree, and their difference.

    They are the lowest: Envoy's timers, on a busy machine, only ever add.
    """
    requests = cases.requests(case)
    # A worker verifies 100 signatures in a second.
    pause = PAUSE_SECONDS if len(requests) > 1 else 0
    connection = Connection(envoy.port(case.listener), pause)
    check(envoy, case, connection)
    connection.send(requests, WARM)
    busy = envoy.stats("pin-busy")
    counts = []
    with envoy.counting():
        # All of them, so that the first counted ones are not among those that are known.
        connection.send(requests, max(SETTLE, len(requests)))
        for _ in range(ATTEMPTS):
            envoy.zero()
            connection.send(requests, COUNTED)
            profile = envoy.dump()
            counts.append(count(profile) / COUNTED)
            if keep:
                profile.replace(profile_of(case))
            counts.sort(key=lambda each: each.total)
            if len(counts) > 1 and counts[0].differs(counts[1]) <= AGREE:
                break
    connection.close()
    if envoy.stats("pin-busy") != busy:
        raise CaseError(f"{case.key}: not all signatures were verified")
    one, two = counts[:2]
    return (one + two) / 2, one.differs(two)


def profile_of(case: Case) -> Path:
    """Where the profile of a case is kept, of `COUNTED` requests."""
    return BENCH / f"{case.key}.callgrind"


def check(envoy: Envoy, case: Case, connection: Connection) -> None:
    """That the row does what it is named after."""
    counters = rf"bg_source=\.={case.source};" if case.source else "bluegreen_responses"
    before = sum(envoy.stats(counters).values())
    answer = connection.send(cases.requests(case)[:1])
    counted = sum(envoy.stats(counters).values()) - before
    cookie = b"\r\nset-cookie: " in answer
    tag = b"\r\nx-served-version: " in answer
    private = b"\r\ncache-control: private, no-store\r\n" in answer
    route = b"\r\nx-bluegreen-route: " in answer
    problems = [
        *([] if answer.startswith(b"HTTP/1.1 200 ") else ["not answered 200"]),
        *([] if cookie == case.sets_cookie else [f"sets a cookie: {cookie}"]),
        *([] if private == case.is_private else [f"is private: {private}"]),
        *([] if counted == bool(case.source) else [f"counted {counted} times"]),
        *([] if case.tag in (None, tag) else [f"has a tag: {tag}"]),
        *([] if route == case.shows_route else [f"has a route header: {route}"]),
    ]
    if problems:
        raise CaseError(f"{case.key}: {'; '.join(problems)}; {answer!r}")
