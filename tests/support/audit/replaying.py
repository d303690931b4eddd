"""Replays an archive or a Kafka log into memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from evaluation_cancel.consumer.audit.cli.options import Source, history_from
from evaluation_cancel.consumer.audit.cli.settings import AuditSettings
from evaluation_cancel.consumer.audit.history.history import FROM_THE_START, Piece, Resume
from evaluation_cancel.consumer.audit.history.progress import Meter
from evaluation_cancel.consumer.audit.history.selection import Selection
from evaluation_cancel.consumer.audit.replay.replay import Output, replay
from evaluation_cancel.schemas.wire.records import RawRecord

EVERYTHING = Selection()


class Kept:
    """An output that keeps the records."""

    def __init__(self) -> None:
        self.records: list[RawRecord] = []

    async def write(self, records: Sequence[RawRecord], piece: Piece) -> None:  # noqa: ARG002
        self.records += records


def all_topics(settings: AuditSettings) -> list[str]:
    return [settings.topics.commands, settings.topics.events, settings.topics.dead_letters]


async def replayed(
    settings: AuditSettings,
    source: Source,
    output: Output,
    selection: Selection = EVERYTHING,
    resume: Resume = FROM_THE_START,
) -> list[str]:
    said: list[str] = []
    async with asyncio.timeout(60), history_from(source, settings, said.append) as history:
        await replay(history, all_topics(settings), selection, output, Meter(None), resume=resume)
    return said


async def kept(settings: AuditSettings, source: Source, selection: Selection = EVERYTHING) -> list[RawRecord]:
    output = Kept()
    await replayed(settings, source, output, selection)
    return output.records
