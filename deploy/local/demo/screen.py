"""How the demo speaks: acts with a heading, a line for each step with its time, tables. Plain text without a terminal.

It knows nothing of the system; what there is to say comes from the other modules.
"""

import textwrap
import time
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = 100
COLOURS = {
    "command": "bold cyan",
    "request": "bold cyan",
    "answer": "green",
    "event": "green",
    "orchestrator": "magenta",
    "cluster": "blue",
    "process": "bold red",
    "dead letter": "yellow",
}


class Screen:
    """Everything is printed at once and stays; times count from the making of this object."""

    def __init__(self) -> None:
        plain = Console(highlight=False)
        width = min(WIDTH, plain.width) if plain.is_terminal else WIDTH
        self.console = Console(highlight=False, width=width)
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    def say(self, text: str = "", style: str = "") -> None:
        self.console.print(text, style=style, markup=False, no_wrap=True, overflow="ignore")

    def act(self, title: str, text: str) -> None:
        """Begin an act: what it is about, in a sentence or two."""
        line = "─" * (self.console.width - len(title) - 1)
        self.console.print()
        self.console.print(Text.assemble((title, "bold"), (f" {line}", "dim")), no_wrap=True)
        for row in textwrap.wrap(text, self.console.width):
            self.say(row, style="italic")
        self.say()

    def step(self, kind: str, name: str, text: str) -> None:
        """One step: what kind of thing happened, to which evaluation, and what it means."""
        head = Text.assemble((f"{self.seconds:6.2f} s", "dim"), "  ", (f"{kind:<13}", COLOURS.get(kind, "")))
        head.append(f"{name:<9}", "bold")
        first, *more = textwrap.wrap(text, self.console.width - len(head), break_on_hyphens=False) or [""]
        self.console.print(head + Text(first), no_wrap=True, overflow="ignore")
        for row in more:
            self.say(" " * len(head) + row)

    def table(self, title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
        """`columns`: a name that begins with `>` stands to the right."""
        table = Table(box=None, pad_edge=False)
        for column in columns:
            right = column.startswith(">")
            table.add_column(column.lstrip(">"), justify="right" if right else "left", header_style="dim")
        for row in rows:
            table.add_row(*(Text(cell, style=_style(cell)) for cell in row))
        self.console.print()
        self.say(title, style="bold")
        self.say()
        with self.console.capture() as captured:
            self.console.print(table)
        for line in captured.get().splitlines():
            self.console.file.write(line.rstrip() + "\n")


def _style(cell: str) -> str:
    """An outcome is told by its first word."""
    return {"cancelled": "green", "rejected": "yellow"}.get(cell.partition(":")[0], "")
