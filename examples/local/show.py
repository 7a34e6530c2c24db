"""How the demo looks: 80 columns, with or without colours."""

from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap

from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

WIDTH = 80
CELLS = 50
# Also apart without colours.
SHADES = {"blue": ("░", "blue"), "green": ("█", "green")}

console = Console(width=WIDTH, highlight=False, soft_wrap=False)


class ClaimError(Exception):
    """Something that the demo says is not so."""


def part(number: int, title: str, *lines: str) -> None:
    """The head of a part, and what it is about."""
    console.print()
    console.print(Rule(f"[bold]{number}  {title}[/]", align="left", style="dim"))
    for line in lines:
        console.print(line)
    console.print()


def claim(text: str, holds: bool) -> None:
    """Says what is so; raises ClaimError when it is not."""
    mark = "[bold green]✔[/]" if holds else "[bold red]✘[/]"
    console.print(f"  {mark} {text}")
    if not holds:
        raise ClaimError(text)


def exchange(request: Iterable[str], answer: Iterable[str]) -> None:
    """The lines of a request and of its answer, as they went over the connection."""
    for mark, style, lines in (("  > ", "bold", request), ("  < ", "dim", answer)):
        for text in filter(None, lines):
            indent = {"initial_indent": mark, "subsequent_indent": "    "}
            for piece in wrap(text, WIDTH, **indent):
                console.print(piece, style=style, markup=False)
    console.print()


def shares(counts: Mapping[str, int], versions: Sequence[str]) -> None:
    """Each version's share of the whole as a bar."""
    total = sum(counts[version] for version in versions)
    width = max(map(len, versions))
    for version in versions:
        shade, colour = SHADES[version.rpartition("-")[2]]
        cells = round(CELLS * counts[version] / total)
        line = Text(f"  {version:<{width}} ")
        line.append(shade * cells, colour)
        line.append("·" * (CELLS - cells), "dim")
        line.append(f"  {counts[version]} of {total}")
        console.print(line)
    console.print()


def by_bucket(versions: dict[int, str]) -> Text:
    """Buckets 0 to 99 from left to right, two a cell, in their version's shade."""
    line = Text()
    for cell in range(CELLS):
        here = [versions.get(2 * cell + i) for i in (0, 1)]
        known = next((v for v in here if v in SHADES), None)
        shade, colour = SHADES[known] if known else ("·", "dim")
        line.append(shade, colour)
    return line


def table(*columns: str) -> Table:
    """A table; a column whose head begins with a space holds numbers."""
    new = Table(box=None, pad_edge=True, padding=(0, 1), header_style="dim")
    for column in columns:
        number = column.startswith(" ")
        new.add_column(column.strip(), justify="right" if number else "left")
    return new
