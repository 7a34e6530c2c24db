"""The table of what was proved, which grows while the tests run."""

import textwrap
import time
from collections.abc import Callable

WIDTH = 80
INDENT = 7

# Says what was proved, and by which figure.
Proof = Callable[[str, object], None]


class Table:
    """Headings, each with the minutes and seconds since the beginning, and rows."""

    def __init__(self) -> None:
        self.proofs = 0
        self._began = time.monotonic()
        self._heading = ""

    @property
    def elapsed(self) -> str:
        """Minutes and seconds since the beginning."""
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        return f"{minutes}:{seconds:02}"

    def heading(self, text: str) -> None:
        """Begins a part, unless it is the one that runs already."""
        if text != self._heading:
            self._heading = text
            print(f"\n{self.elapsed:>5}  {text}", flush=True)

    def row(self, what: str, figure: object = "", mark: str = "✔") -> None:
        """One line, or more where it is long; the figure stands at the right."""
        right = str(figure)
        lines = textwrap.wrap(f"{mark} {what}", WIDTH - INDENT - len(right) - 1)
        lines[-1] = lines[-1].ljust(WIDTH - INDENT - len(right)) + right
        text = textwrap.indent("\n".join(lines).rstrip(), " " * INDENT)
        print(text, flush=True)

    def proof(self, what: str, figure: object) -> None:
        """A row that counts."""
        self.proofs += 1
        self.row(what, figure)
