"""Shows the progress of a long reading on standard error: share, rate and remaining time. Only on a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

_UPDATE_INTERVAL: Final = 0.2


class Meter:
    """Implements `history.Progress`. Counts records, and updates the bar if there is one."""

    def __init__(self, bar: Progress | None) -> None:
        self._bar = bar
        self._task = None if bar is None else bar.add_task("reading", total=None, rate="")
        self._began = time.monotonic()
        self._shown = 0.0
        self._total: int | None = None
        self._steps = 0
        self.records = 0
        """Records read, whether they were selected or not."""

    def total(self, steps: int) -> None:
        """Set the number of steps in the whole reading."""
        self._total = steps

    def done(self, steps: int, records: int) -> None:
        """Add steps and records that were read."""
        self._steps += steps
        self.records += records
        now = time.monotonic()
        if self._bar is not None and self._task is not None and now - self._shown > _UPDATE_INTERVAL:
            self._shown = now
            self._bar.update(self._task, completed=self._steps, total=self._total, rate=f"{self.rate:,.0f}/s")

    def hide(self) -> None:
        """Stop the bar, so that it does not mix with output on the terminal."""
        if self._bar is not None:
            self._bar.stop()

    @property
    def rate(self) -> float:
        """Records read per second so far."""
        return self.records / max(time.monotonic() - self._began, 1e-6)


@contextmanager
def metered(console: Console, title: str) -> Iterator[Meter]:
    """A meter with a bar on `console`, and a summary at the end. On no terminal it only counts."""
    if not console.is_terminal:
        yield Meter(None)
        return
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    # The answer goes to standard output, which may be a file: the bar must not redirect it.
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as bar:
        meter = Meter(bar)
        yield meter
    console.print(f"{title}: {meter.records:,} records read, {meter.rate:,.0f} a second.", style="dim")
