"""Outputs of a replay: a timeline on the terminal, and JSON lines. See `parquet.py` and `topic.py` for the others."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import IO, Final

from rich.console import Console
from rich.text import Text

from evaluation_cancel.consumer.audit.archive.record_lines import encode_line
from evaluation_cancel.consumer.audit.history.facts import facts_of
from evaluation_cancel.consumer.audit.history.history import OnRemark, Piece
from evaluation_cancel.consumer.audit.history.strict import place, position_of
from evaluation_cancel.consumer.audit.history.wording import describe, plain, title
from evaluation_cancel.schemas.wire.records import RawRecord

_WAITING: Final = 10_000
"""The most lines that wait to be sorted."""


class TerminalOutput:
    """Prints a line for each record in the order of time.

    Partitions are read one after the other. So lines wait until all records are read; if too many wait, the oldest are
    printed.
    """

    def __init__(self, console: Console, *, before_line: Callable[[], None], waiting: int = _WAITING) -> None:
        """`before_line` is called before each line, to stop the progress bar."""
        self._console = console
        self._before_line = before_line
        self._most_waiting = waiting
        self._lines: list[tuple[int, int, Text]] = []
        self._numbers = itertools.count()
        self._printed_at = 0
        self._late = 0

    async def write(self, records: Sequence[RawRecord], piece: Piece) -> None:  # noqa: ARG002
        for record in records:
            heapq.heappush(self._lines, (record.timestamp_ms, next(self._numbers), _line(record)))
            if len(self._lines) > self._most_waiting:
                self._print_oldest()

    def close(self, on_remark: OnRemark) -> None:
        """Print all waiting lines, then report how many were too late for their place."""
        while self._lines:
            self._print_oldest()
        if self._late:
            on_remark(f"{self._late:,} lines are out of order: too many had to be sorted. Select a shorter time.")

    def _print_oldest(self) -> None:
        moment, _, line = heapq.heappop(self._lines)
        self._late += moment < self._printed_at
        self._printed_at = max(moment, self._printed_at)
        self._before_line()
        self._console.print(line, soft_wrap=True)


def _line(record: RawRecord) -> Text:
    facts = facts_of(record)
    return Text.assemble(
        (f"{timestamp(record.timestamp_ms)}  ", "dim"),
        f"{plain(facts.evaluation or '-', 60)}  ",
        (title(facts), "bold"),
        f"  {describe(facts)}  ",
        (place(position_of(record)), "dim"),
    )


class JsonLinesOutput:
    """Writes whole records as JSON lines, in the format of the archive."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    async def write(self, records: Sequence[RawRecord], piece: Piece) -> None:  # noqa: ARG002
        self._file.write(b"".join(map(encode_line, records)))


def timestamp(milliseconds: int) -> str:
    """A timestamp in UTC with milliseconds; the number itself if it is not a valid time."""
    try:
        return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + "Z"
    except (ValueError, OverflowError, OSError):
        return f"({milliseconds} ms)"
