"""Where replayed records can go: the terminal as a timeline, JSON lines. Parquet and topics have files of their own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import IO

from rich.console import Console
from rich.text import Text

from consumer.audit.facts import facts_of
from consumer.audit.history import Piece
from consumer.audit.record_lines import encode_line
from consumer.audit.wording import describe, title
from schemas.records import RawRecord


class TerminalOutput:
    """A line for each record; those that were read together in the order of their times."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def write(self, records: Sequence[RawRecord], piece: Piece) -> None:  # noqa: ARG002
        for record in sorted(records, key=lambda r: r.timestamp_ms):
            facts = facts_of(record)
            line = Text()
            line.append(f"{timestamp(record.timestamp_ms)}  ", style="dim")
            line.append(f"{facts.evaluation or '-'}  ")
            line.append(title(facts), style="bold")
            line.append(f"  {describe(facts)}  ")
            line.append(f"{record.topic}/{record.partition}/{record.offset}", style="dim")
            self._console.print(line, soft_wrap=True)


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
