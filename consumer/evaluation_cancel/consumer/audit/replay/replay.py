"""The use case: reads selected records from Kafka or the archive and writes them to an output.

`outputs.py`, `parquet.py` and `topic.py` are outputs; `audit/history/history.py` gives the records. Memory holds one
piece of one partition at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from evaluation_cancel.consumer.audit.history.history import FROM_THE_START, History, Piece, Progress, Resume
from evaluation_cancel.consumer.audit.history.selection import Selection
from evaluation_cancel.schemas.wire.records import RawRecord


class Output(Protocol):
    """The target of a replay."""

    async def write(self, records: Sequence[RawRecord], piece: Piece) -> None:
        """Write the selected records of a piece. `piece` has the progress of the reading."""


async def replay(
    history: History,
    topics: Sequence[str],
    selection: Selection,
    output: Output,
    progress: Progress,
    *,
    resume: Resume = FROM_THE_START,
) -> int:
    """Replay all selected records of these topics. Returns how many."""
    matches = selection.matcher()
    selects_all = not selection.is_narrow and selection.since_ms is None and selection.before_ms is None
    count = 0
    async for piece in history.pieces(topics, selection, progress, resume):
        records = piece.records if selects_all else [r for r in piece.records if matches(r)]
        await output.write(records, piece)
        count += len(records)
        progress.done(piece.steps, len(piece.records))
    return count
