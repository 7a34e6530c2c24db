"""What needs no valgrind: CPU time, latency, start-up and memory of real Envoys."""

import contextlib
import json
import re
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cases
from cases import Case
from kit import ports
from kit.envoy import POLL_SECONDS, RUNS, Envoy

# So modest that an answer is there before the next request.
RATE = 1000
REQUESTS = 1000
COMPARED = (
    *("outside-all", "lua-returning", "empty", "empty-cut"),
    *("returning", "tagged", "new-others", "pinned"),
)

STARTS = 3
STARTED = ("router", "empty", "gateway", "by-host-256")
MORE_WORKERS = 5
TELL_SECONDS = 10
# Enough to reach each worker.
VISITS, VISITORS = 2000, 40

# The proxies whose memory is watched, and their part of the requests.
LASTING = {"empty": 0.1, "gateway": 1.0}
KINDS = ("returning", "new-others", "tagged", "pinned")
WARM = 20_000
PARTS = 20
CLIENTS = 8

Done = Callable[[str], None]


class LoadError(Exception):
    """An Envoy did not serve as it must while it was measured."""


@dataclass(frozen=True)
class Answers:
    """Requests at a fixed rate: CPU time of the proxy for one, and latencies, in us."""

    cpu: float
    p50: float
    p99: float


@dataclass(frozen=True)
class Ratio:
    """A case against the router alone, in the same rounds."""

    case: Case
    # Medians of the rounds.
    answers: Answers
    ratio: Answers
    # Half of the rounds' CPU ratios lie between these.
    quartiles: tuple[float, float]


@dataclass(frozen=True)
class Start:
    """An Envoy that just started: the time until it serves, and its memory in MB."""

    milliseconds: float
    cpu_milliseconds: float
    # What it has for itself alone (RssAnon).
    resident: float
    # The same without what its allocator keeps, once V8 has compiled.
    used: float


@dataclass(frozen=True)
class Lasting:
    """The resident memory of an Envoy, in MB, once it is warm and after each part."""

    proxy: str
    requests: int
    resident: list[float]


@contextlib.contextmanager
def envoys(names: set[str], run: str, workers: int = 1) -> Iterator[dict[str, Envoy]]:
    """These proxies, and the application that they share."""
    with contextlib.ExitStack() as stack:
        app = stack.enter_context(Envoy(cases.upstream(), f"{run}/app", workers=1))
        yield {
            name: stack.enter_context(
                Envoy(
                    cases.bootstrap(cases.proxies()[name], app.port("app")),
                    f"{run}/{name}",
                    log_level="error",
                    workers=workers,
                )
            )
            for name in sorted(names)
        }


def ratios(rounds: int, run: str, done: Done) -> list[Ratio]:
    """Each case against the router, in turns, so that both see the same machine."""
    wanted = [case for case in cases.cases() if case.key in COMPARED]
    each = list(dict.fromkeys([*(case.base for case in wanted), *wanted]))
    found = defaultdict(list)
    with envoys({case.proxy for case in each}, run) as running:
        for case in each:
            load(running[case.proxy], case, REQUESTS)
        for number in range(rounds):
            # Nobody is always the first.
            for case in each[:: 1 if number % 2 else -1]:
                found[case].append(answers(running[case.proxy], case))
                done(f"{case.key}, round {number + 1}")
    return [ratio(case, found[case], found[case.base]) for case in each]


def ratio(case: Case, found: list[Answers], router: list[Answers]) -> Ratio:
    """The medians of a case over the rounds."""
    parts = [
        Answers(one.cpu / base.cpu, one.p50 / base.p50, one.p99 / base.p99)
        for one, base in zip(found, router, strict=True)
    ]
    low, _, high = statistics.quantiles((part.cpu for part in parts), n=4)
    return Ratio(case, medians(found), medians(parts), (low, high))


def medians(found: list[Answers]) -> Answers:
    """The median of each figure."""
    return Answers(
        statistics.median(one.cpu for one in found),
        statistics.median(one.p50 for one in found),
        statistics.median(one.p99 for one in found),
    )


def answers(envoy: Envoy, case: Case) -> Answers:
    """Requests at the fixed rate, one at a time on one connection."""
    before = cpu_seconds(envoy)
    microseconds = sorted(load(envoy, case, REQUESTS, "--rps", str(RATE)))
    cpu = cpu_seconds(envoy) - before
    hundredths = statistics.quantiles(microseconds, n=100)
    return Answers(cpu / REQUESTS * 1e6, hundredths[49], hundredths[98])


def load(envoy: Envoy, case: Case, requests: int, *options: str) -> list[int]:
    """Sends requests with h2load: the microseconds that each took."""
    log = envoy.folder / "requests"
    log.unlink(missing_ok=True)
    fields = {":authority": case.host} | cases.headers(case)
    subprocess.run(
        [
            *("h2load", "--h1", "--requests", str(requests), *options),
            *("--log-file", log),
            *(part for n, v in fields.items() for part in ("-H", f"{n}: {v}")),
            f"http://{ports.LOOPBACK}:{envoy.port(case.listener)}{case.path}",
        ],
        check=True,
        capture_output=True,
    )
    rows = [line.split("\t") for line in log.read_text().splitlines()]
    failed = [row for row in rows if row[1] != "200"]
    if failed or len(rows) != requests:
        count = f"{len(rows) - len(failed)} of {requests}"
        raise LoadError(f"{case.key}: only {count} answered 200; {envoy.tail()}")
    return [int(row[2]) for row in rows]


def starts(run: str, done: Done) -> dict[str, dict[int, Start]]:
    """The medians of some starts, by proxy and number of workers."""
    found = defaultdict(lambda: defaultdict(list))
    for number in range(STARTS):
        for name in STARTED:
            for workers in (1, MORE_WORKERS):
                with envoys({name}, run, workers) as running:
                    found[name][workers].append(start(running[name]))
                done(f"{name}, {workers} workers, start {number + 1}")
    return {
        name: {workers: median(each) for workers, each in by_workers.items()}
        for name, by_workers in found.items()
    }


def start(envoy: Envoy) -> Start:
    """What an Envoy says after its start, and after the first requests."""
    cpu = cpu_seconds(envoy) * 1e3
    ready = milliseconds_to_ready(envoy)
    case = next(case for case in cases.cases() if case.key == KINDS[0])
    load(envoy, case, VISITS, "--clients", str(VISITORS))
    size = resident(envoy)
    return Start(ready, cpu, size, size - kept_free(envoy))


def milliseconds_to_ready(envoy: Envoy) -> float:
    """How long it took to start, by its own clock; it may tell a moment later."""
    deadline = time.monotonic() + TELL_SECONDS
    told = ""
    while time.monotonic() < deadline:
        told = envoy.admin("/stats?filter=^server.initialization_time_ms$")
        if found := re.search(r"P50\([^,)]+,(\d[^)]*)\)", told):
            return float(found[1])
        time.sleep(POLL_SECONDS)
    raise LoadError(f"{envoy.name}: no time of initialization: {told!r}")


def median(each: list[Start]) -> Start:
    """The median of each figure."""
    return Start(
        statistics.median(one.milliseconds for one in each),
        statistics.median(one.cpu_milliseconds for one in each),
        statistics.median(one.resident for one in each),
        statistics.median(one.used for one in each),
    )


def lasting(most: int, until: float, run: str, done: Done) -> list[Lasting]:
    """The memory of a worker over many requests, of all kinds in turn.

    A slow machine makes fewer of them, until this time of the monotonic clock.
    """
    found = []
    for name, share in LASTING.items():
        part = round(most * share) // PARTS
        with envoys({name}, run) as running:
            envoy = running[name]
            send(envoy, WARM)
            sizes = [resident(envoy)]
            while len(sizes) <= PARTS and (len(sizes) < 3 or time.monotonic() < until):
                send(envoy, part)
                sizes.append(resident(envoy))
                done(f"{name}, {(len(sizes) - 1) * part:,} requests")
        found.append(Lasting(name, (len(sizes) - 1) * part, sizes))
    return found


def send(envoy: Envoy, requests: int) -> None:
    """So many requests, as many of each kind."""
    for case in cases.cases():
        if case.key in KINDS:
            load(envoy, case, requests // len(KINDS), "--clients", str(CLIENTS))


def cpu_seconds(envoy: Envoy) -> float:
    """The CPU time of a process: its clock's number is made of its id, as in libc."""
    return time.clock_gettime(~envoy.process.pid << 3 | 2)


def resident(envoy: Envoy) -> float:
    """What a process has in memory for itself alone, in MB."""
    status = Path(f"/proc/{envoy.process.pid}/status").read_text()
    return int(re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)[1]) / 1024


def kept_free(envoy: Envoy) -> float:
    """What an Envoy's allocator has from the system, and nobody from it, in MB."""
    told = json.loads(envoy.admin("/memory"))
    free = int(told["total_physical_bytes"]) - int(told["allocated"])
    return free / 1024 / 1024


def folder(run: str) -> Path:
    """Where the Envoys of a run have their files."""
    return RUNS / run
