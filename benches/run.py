"""Measures what the filter adds to a request: on real Envoys, against the router."""

import argparse
import fnmatch
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import cases
import counting
import report
import serving
from cases import Case
from counting import CaseError
from kit.envoy import ROOT, EnvoyError
from report import Table
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn
from serving import LoadError

# One run of Envoys has one folder, so that runs do not meet.
RUN = f"bench-{os.getpid()}"

ROUNDS, QUICK_ROUNDS = 15, 3
MILLION = 1_000_000
# By then the last requests are sent, be there a million of them or not.
SECONDS = 18 * 60

T = TypeVar("T")

console = Console(highlight=False)


def main() -> int:
    """The exit status: 1 when it could not measure."""
    options = arguments()
    wanted = chosen(options)
    if not wanted:
        console.print("No such case. There are:", *(c.key for c in cases.cases()))
        return 2
    tables = []
    try:
        for table in measured(wanted, options):
            console.print()
            table.show(console)
            tables.append(table)
    except KeyboardInterrupt:
        # The Envoys end with this process; the threads would wait for them.
        os._exit(130)
    except (EnvoyError, CaseError, LoadError) as error:
        console.print(f"[bold red]{type(error).__name__}:[/]", str(error))
        console.print(f"Logs: {serving.folder(RUN).relative_to(ROOT)}/*/envoy.log")
        return 1
    shutil.rmtree(serving.folder(RUN))
    if options.annotate:
        show_profiles(wanted)
    if not options.cases and not options.quick:
        report.write(tables)
        console.print(f"Written to {report.RESULTS.relative_to(ROOT)}")
    held, missed = (report.limits(tables, each) for each in (report.MET, report.MISSED))
    console.print(f"Limits: {held} held, {missed} not.")
    return 0


def measured(wanted: list[Case], options: argparse.Namespace) -> Iterator[Table]:
    """The tables, as they come."""
    until = time.monotonic() + SECONDS
    rows = with_progress(
        "Instructions",
        len(counting.steps(wanted)),
        lambda done: counting.measure(wanted, RUN, options.annotate, done),
    )
    yield from report.instructions(rows)
    if options.cases:
        return
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    compared = [case for case in cases.cases() if case.key in serving.COMPARED]
    yield report.ratios(
        with_progress(
            "CPU and latency",
            rounds * len(counting.steps(compared)),
            lambda done: serving.ratios(rounds, RUN, done),
        )
    )
    if options.quick:
        return
    steps = serving.STARTS * len(serving.STARTED) * 2
    started = with_progress("Start-up", steps, lambda done: serving.starts(RUN, done))
    yield report.starts(started)
    steps = len(serving.LASTING) * serving.PARTS
    lasted = with_progress(
        "Memory", steps, lambda done: serving.lasting(MILLION, until, RUN, done)
    )
    yield report.lasting(lasted, started)


def with_progress(title: str, steps: int, work: Callable[[counting.Done], T]) -> T:
    """Does the work, and shows how far it is: a bar, or lines where no terminal is."""
    columns = (
        "{task.description:16}",
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        "{task.fields[step]}",
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=steps, step="")
        count = 0

        def done(step: str) -> None:
            nonlocal count
            count += 1
            bar.update(task, advance=1, step=step[:24])
            if not console.is_terminal:
                console.print(f"{title}: {count}/{steps}, {step}", soft_wrap=True)

        return work(done)


def show_profiles(wanted: list[Case]) -> None:
    """How to look into the profiles."""
    for case in counting.steps(wanted):
        profile = counting.profile_of(case).relative_to(ROOT)
        console.print(f"callgrind_annotate {profile}", soft_wrap=True)
    console.print(f"Each is of {counting.COUNTED} requests.")


def chosen(options: argparse.Namespace) -> list[Case]:
    """The rows to show, and those that their limits are parts of."""
    every = {case.key: case for case in cases.cases()}
    patterns = options.cases or ["*"]
    keys = [
        case.key
        for case in every.values()
        if any(fnmatch.fnmatch(case.key, each) for each in patterns)
        and (case.main or not options.quick)
        and (options.cases or not case.asked)
    ]
    limits = [every[key].limit for key in keys]
    keys += [key for limit in limits if limit for key in (limit.of, limit.beside)]
    return [case for case in every.values() if case.key in keys]


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="MODULE=PATH in the environment measures another module. A full run"
        " writes benches/RESULTS.md.",
    )
    parser.add_argument(
        "--cases",
        nargs="+",
        metavar="CASE",
        help="only the instructions of these rows, such as: returning 'new*'",
    )
    parser.add_argument("--quick", action="store_true", help="only the main rows")
    parser.add_argument(
        "--annotate",
        action="store_true",
        help="leave the profiles in target/bench, for callgrind_annotate",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
