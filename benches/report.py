"""The tables: on the terminal and in RESULTS.md."""

import hashlib
import platform
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import cases
from cases import BENCH, HERE, Case
from counting import Row
from kit.envoy import newest
from rich import box
from rich import table as rich
from rich.console import Console
from serving import MORE_WORKERS, RATE, Lasting, Ratio, Start

RESULTS = HERE / "RESULTS.md"
BEGIN, END = "<!-- results: `make bench` writes this -->", "<!-- /results -->"

# What a worker's memory may grow by, and have over the empty module's, in MB.
FLAT, OVER_EMPTY = 0.5, 1.5

MET, MISSED = "held", "**over**"


@dataclass
class Table:
    """Rows of text under a title; the first column is text, the others numbers."""

    title: str
    header: list[str]
    note: str = ""
    rows: list[list[str]] = field(default_factory=list)

    def show(self, console: Console) -> None:
        """On a terminal of 80 columns."""
        shown = rich.Table(
            title=self.title,
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )
        for place, column in enumerate(self.header):
            shown.add_column(column, justify="right" if place else "left")
        for row in self.rows:
            style = "red" if MISSED in row else "dim" if len(row) == 1 else None
            shown.add_row(*(cell.replace("**", "") for cell in row), style=style)
        console.print(shown)
        if self.note:
            console.print(self.note, style="dim", width=min(console.width, 80))
        console.print()

    def markdown(self) -> str:
        """The same for RESULTS.md."""
        lines = [f"### {self.title}", ""]
        if self.note:
            lines += [self.note, ""]
        numbers = "|".join("--:" for _ in self.header[1:])
        lines += [line(self.header), f"|---|{numbers}|"]
        for row in self.rows:
            cells = row if len(row) > 1 else [f"*{row[0]}*"]
            lines.append(line(cells + [""] * (len(self.header) - len(row))))
        return "\n".join(lines)


def line(cells: list[str]) -> str:
    """A line of a table in Markdown."""
    return "| " + " | ".join(cells) + " |"


# -- Instructions --------------------------------------------------------------


def instructions(rows: list[Row]) -> list[Table]:
    """What each case adds, with its limit; and the router's costs."""
    added = Table(
        "Instructions per request",
        ["case", "added", "module", "ratio", "limit", ""],
        "Added to the router's; `module` of them in the module's own code, the others"
        " in Envoy. Ratio and limit in parts of the router's cost. The two counts of a"
        f" row differ by at most {max(row.noise for row in rows):.2%}.",
    )
    by_key = {row.case.key: row for row in rows}
    for title, group in cases.GROUPS.items():
        wanted = [by_key[case.key] for case in group if case.key in by_key]
        if wanted:
            added.rows.append([title])
        for row in wanted:
            own = f"{row.found.compiled:,.0f}" if row.found.compiled else ""
            added.rows.append(
                [row.case.title, f"{row.added:,.0f}", own, f"{row.ratio:.3f}"]
                + verdict(row, by_key)
            )
    sums = [each for each in cases.SUMS if all(key in by_key for key in each.of)]
    if sums:
        added.rows.append(["Sums of rows above"])
    added.rows += [of_sum(each, [by_key[key] for key in each.of]) for each in sums]
    router = Table(
        "Router only, by request", ["listener: request, path", "instructions"]
    )
    costs = {row.case.base: row.router.total for row in rows}
    for base, cost in costs.items():
        router.rows.append([base.title, f"{cost:,.0f}"])
    return [added, router]


def of_sum(of: cases.Sum, rows: list[Row]) -> list[str]:
    """A row that adds up others."""
    ratio = sum(row.ratio for row in rows)
    return [
        of.title,
        f"{sum(row.added for row in rows):,.0f}",
        f"{sum(row.found.compiled for row in rows):,.0f}",
        f"{ratio:.3f}",
        *(f"{of.limit:.3f}", MET if ratio <= of.limit else MISSED),
    ]


def verdict(row: Row, by_key: dict[str, Row]) -> list[str]:
    """The limit of a row, in parts of the router's cost, and whether it is held."""
    allowed = allowance(row, by_key)
    if allowed is None:
        return ["", ""]
    held = row.added <= allowed
    return [f"{allowed / row.router.total:.3f}", MET if held else MISSED]


def allowance(row: Row, by_key: dict[str, Row]) -> float | None:
    """The instructions that a row may add."""
    limit = row.case.limit
    if not limit:
        return None
    beside = by_key[limit.beside].added if limit.beside else 0
    whole = by_key[limit.of].added if limit.of else row.router.total
    return beside + limit.parts * whole


# -- Without valgrind ----------------------------------------------------------


def ratios(found: list[Ratio]) -> Table:
    """CPU time and latency."""
    table = Table(
        f"CPU time and latency at {RATE} requests/s",
        ["case", "CPU us", "ratio", "quartiles", "p50 us", "ratio", "p99 us", "ratio"],
        "Medians of rounds in which all cases take turns; ratios to the router alone"
        " with the same request, in the same round.",
    )
    for each in found:
        case, one, ratio = each.case, each.answers, each.ratio
        low, high = each.quartiles
        router = case.key.startswith("router")
        table.rows.append(
            [
                short_title(case),
                f"{one.cpu:.0f}",
                *(
                    ["", ""]
                    if router
                    else [f"{ratio.cpu:.2f}", f"{low:.2f}-{high:.2f}"]
                ),
                f"{one.p50:.0f}",
                "" if router else f"{ratio.p50:.2f}",
                f"{one.p99:.0f}",
                "" if router else f"{ratio.p99:.2f}",
            ]
        )
    return table


def short_title(case: Case) -> str:
    """The title of a case where no group stands above it."""
    if case.key.startswith("router"):
        tagged = ", tagged" if case.path == cases.TAGGED else ""
        return f"router, {case.request}{tagged}".replace(", returning", "")
    return case.key if case.proxy.startswith("empty") else case.title


def starts(found: dict[str, dict[int, Start]]) -> Table:
    """Start-up and memory."""
    titles = {
        "router": "router only",
        "empty": "empty module",
        "gateway": "ours",
        "by-host-256": "ours, 256 rollouts",
    }
    table = Table(
        "Start-up and memory",
        ["proxy", "ready ms", "CPU ms", "resident", "in use", "per worker"],
        "Until it serves, with one worker; CPU time of all threads; its own memory in"
        " MB (RssAnon), and without what the allocator keeps free once V8 has compiled"
        " the module; in use, what each further worker adds to a worker's of the"
        " router.",
    )
    for name, by_workers in found.items():
        one = by_workers[1]
        table.rows.append(
            [
                titles[name],
                *(f"{one.milliseconds:.0f}", f"{one.cpu_milliseconds:.0f}"),
                *(f"{one.resident:.1f}", f"{one.used:.1f}"),
                "" if name == "router" else f"{per_worker(name, found):.1f}",
            ]
        )
    return table


def per_worker(name: str, found: dict[str, dict[int, Start]]) -> float:
    """What a worker's VM has in memory, in MB."""
    further = [
        (found[each][MORE_WORKERS].used - found[each][1].used) / (MORE_WORKERS - 1)
        for each in (name, "router")
    ]
    return further[0] - further[1]


def lasting(found: list[Lasting], started: dict[str, dict[int, Start]]) -> Table:
    """Memory after many requests."""
    table = Table(
        "Memory after many requests, in MB",
        ["proxy", "requests", "warm", "1/2", "all", "grown", "worker", "over", ""],
        "Resident, with one worker; users with and without a cookie, pinned ones, and"
        " an upstream that tags. `worker` is a worker's memory after them,"
        f" `over` what it has over the empty module's. Allowed: to grow by {FLAT} MB,"
        f" and to have {OVER_EMPTY} MB over the empty module's.",
    )
    grown = {each.proxy: each.resident[-1] - each.resident[0] for each in found}
    worker = {name: per_worker(name, started) + more for name, more in grown.items()}
    for each in found:
        name, sizes = each.proxy, each.resident
        over = worker[name] - worker["empty"]
        held = MET if grown[name] <= FLAT and over <= OVER_EMPTY else MISSED
        table.rows.append(
            [
                "empty module" if name == "empty" else "ours",
                f"{each.requests:,}",
                *(
                    f"{size:.1f}"
                    for size in (sizes[0], sizes[len(sizes) // 2], sizes[-1])
                ),
                *(f"{grown[name]:.2f}", f"{worker[name]:.1f}"),
                *(["", ""] if name == "empty" else [f"{over:.1f}", held]),
            ]
        )
    return table


# -- All of it -----------------------------------------------------------------


def setting() -> str:
    """The versions and the machine, in a line; the module in another."""
    module = cases.module().read_bytes()
    rustc = re.search(rb"rustc.(\d+\.\d+\.\d+)", module)
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    cores = len(
        re.findall("^processor", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    )
    empty = (BENCH / "empty.wasm").stat().st_size
    return (
        f"Envoy {newest()}, rustc {rustc[1].decode() if rustc else 'unknown'},"
        f" {version('valgrind')}, {version('h2load')}; {cores} cores of"
        f" {cpu[1] if cpu else platform.machine()}.\n"
        f"The module has {len(module):,} bytes (sha256"
        f" {hashlib.sha256(module).hexdigest()[:12]}), an empty one {empty:,}."
    )


def version(program: str) -> str:
    """A program and its version."""
    told = subprocess.run(
        [program, "--version"], check=True, capture_output=True, text=True
    )
    found = re.search(r"\d+(\.\d+)+", told.stdout)
    return f"{program} {found[0] if found else 'unknown'}"


def limits(tables: list[Table], verdict: str) -> int:
    """How many limits are held, or missed."""
    return sum(verdict in row for table in tables for row in table.rows)


def write(tables: list[Table]) -> None:
    """Puts the tables between the markers of RESULTS.md, and keeps the rest."""
    text = RESULTS.read_text()
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{RESULTS.name} has no lines {BEGIN!r} and {END!r}")
    parts = [setting(), *(table.markdown() for table in tables)]
    RESULTS.write_text(before + "\n\n".join([BEGIN, *parts, END]) + after)
