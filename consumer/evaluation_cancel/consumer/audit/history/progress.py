"""Progress of a long reading on standard error: how far, how fast, how long still; on a terminal only."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

_EVERY: Final = 0.2


class Meter:
    """Satisfies `history.Progress`; counts even where nothing is shown."""

    def __init__(self, bar: Progress | None) -> None:
        self._bar = bar
        self._task = None if bar is None else bar.add_task("reading", total=None, rate="")
        self._began = time.monotonic()
        self._shown = 0.0
        self._total: int | None = None
        self._steps = 0
        self.records = 0
        """Read, whether they were wanted or not."""

    def total(self, steps: int) -> None:
        self._total = steps

    def done(self, steps: int, records: int) -> None:
        self._steps += steps
        self.records += records
        now = time.monotonic()
        if self._bar is not None and self._task is not None and now - self._shown > _EVERY:
            self._shown = now
            self._bar.update(self._task, completed=self._steps, total=self._total, rate=f"{self.rate:,.0f}/s")

    def hide(self) -> None:
        """The answer itself comes to the terminal now, where a bar would be in it."""
        if self._bar is not None:
            self._bar.stop()

    @property
    def rate(self) -> float:
        """Records read a second, so far."""
        return self.records / max(time.monotonic() - self._began, 1e-6)


@contextmanager
def metered(console: Console, what: str) -> Iterator[Meter]:
    """Says at the end how much it was."""
    if not console.is_terminal:
        yield Meter(None)
        return
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    # Standard output is the answer's, and may be a file: the bar must not take it over.
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as bar:
        meter = Meter(bar)
        yield meter
    console.print(f"{what}: {meter.records:,} records read, {meter.rate:,.0f} a second.", style="dim")
