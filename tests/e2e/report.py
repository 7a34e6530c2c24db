"""What the tests proved, as a table."""

from collections.abc import Callable

from rich.console import Console
from rich.table import Table

WIDTH = 80
FIGURE = 24

# Says what was proved, and by which figure.
Proof = Callable[[str, object], None]

PROOFS: list[tuple[str, str, str]] = []


def about(subject: str) -> Proof:
    """Adds rows to the table, below the heading of this subject."""

    def prove(what: str, figure: object) -> None:
        PROOFS.append((subject, what, str(figure)))

    return prove


def show() -> None:
    """Prints the table, 80 columns wide."""
    table = Table(box=None, pad_edge=False, show_header=False, width=WIDTH)
    table.add_column(ratio=1)
    table.add_column(justify="right", max_width=FIGURE)
    for n, (subject, what, figure) in enumerate(PROOFS):
        if n == 0 or PROOFS[n - 1][0] != subject:
            table.add_row("")
            table.add_row(f"[bold]{subject}[/bold]")
        table.add_row(f"[green]✔[/green] {what}", figure)
    console = Console(width=WIDTH, highlight=False)
    console.print(table)
    console.print(f"\n{len(PROOFS)} proofs")
