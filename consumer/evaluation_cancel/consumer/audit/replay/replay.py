"""Replays history: chosen records, from Kafka or the archive, to an output. Changes nothing in the system.

What an output does with them is in `outputs.py` and `topic.py`; where they come from in `audit/history/history.py`.
Memory stays flat: one piece of one partition is in hand at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from evaluation_cancel.consumer.audit.history.history import FROM_THE_START, History, Piece, Progress, Resume
from evaluation_cancel.consumer.audit.history.selection import Selection
from evaluation_cancel.schemas.wire.records import RawRecord


class Output(Protocol):
    """Takes the records of one piece at a time; `piece` tells how far the reading has come with them."""

    async def write(self, records: Sequence[RawRecord], piece: Piece) -> None: ...


async def replay(
    history: History,
    topics: Sequence[str],
    selection: Selection,
    output: Output,
    progress: Progress,
    *,
    resume: Resume = FROM_THE_START,
) -> int:
    """Gives how many records were replayed."""
    matches = selection.matcher()
    everything = not selection.is_narrow and selection.since_ms is None and selection.before_ms is None
    count = 0
    async for piece in history.pieces(topics, selection, progress, resume):
        records = piece.records if everything else [r for r in piece.records if matches(r)]
        await output.write(records, piece)
        count += len(records)
        progress.done(piece.steps, len(piece.records))
    return count
