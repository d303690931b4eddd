"""Where replayed records can go: the terminal as a timeline, JSON lines. Parquet and topics have files of their own."""

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
from evaluation_cancel.consumer.audit.history.history import Piece, Say
from evaluation_cancel.consumer.audit.history.strict import place, position_of
from evaluation_cancel.consumer.audit.history.wording import describe, plain, title
from evaluation_cancel.schemas.wire.records import RawRecord

_WAITING: Final = 10_000
"""Lines at most that wait to be put in order."""


class TerminalOutput:
    """A line for each record, in the order of time. Partitions are read one after the other, so that lines wait until
    all is read, or until too many wait: then the oldest go first.
    """

    def __init__(self, console: Console, *, begins: Callable[[], None], waiting: int = _WAITING) -> None:
        """`begins` is called before each line: what else is on the terminal has to go."""
        self._console = console
        self._begins = begins
        self._most = waiting
        self._lines: list[tuple[int, int, Text]] = []
        self._numbers = itertools.count()
        self._printed_at = 0
        self._late = 0

    async def write(self, records: Sequence[RawRecord], piece: Piece) -> None:  # noqa: ARG002
        for record in records:
            heapq.heappush(self._lines, (record.timestamp_ms, next(self._numbers), _line(record)))
            if len(self._lines) > self._most:
                self._print_oldest()

    def close(self, say: Say) -> None:
        while self._lines:
            self._print_oldest()
        if self._late:
            say(f"{self._late:,} lines are out of order: there were too many to put in order. Ask for a shorter time.")

    def _print_oldest(self) -> None:
        moment, _, line = heapq.heappop(self._lines)
        self._late += moment < self._printed_at
        self._printed_at = max(moment, self._printed_at)
        self._begins()
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
    """The records whole, in the archive's own form."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    async def write(self, records: Sequence[RawRecord], piece: Piece) -> None:  # noqa: ARG002
        self._file.write(b"".join(map(encode_line, records)))


def timestamp(milliseconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + "Z"
    except (ValueError, OverflowError, OSError):
        return f"({milliseconds} ms)"
