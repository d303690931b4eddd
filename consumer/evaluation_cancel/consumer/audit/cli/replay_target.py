"""Where a replay goes, as it was asked for: checked before anything is opened, then opened."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import typer
from rich.console import Console

from evaluation_cancel.consumer.audit.cli.options import saying
from evaluation_cancel.consumer.audit.cli.settings import AuditSettings
from evaluation_cancel.consumer.audit.cli.terminal import screen
from evaluation_cancel.consumer.audit.history.progress import Meter
from evaluation_cancel.consumer.audit.replay.outputs import JsonLinesOutput, TerminalOutput
from evaluation_cancel.consumer.audit.replay.replay import Output
from evaluation_cancel.consumer.audit.replay.topic import ProgressFile, TopicOutput
from evaluation_cancel.consumer.domain.errors import Refusal

FORMS: Final = ("terminal", "jsonl", "parquet", "topic")


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What the command line said of it."""

    form: str
    out: Path | None = None
    topic: str | None = None
    rate: float | None = None
    progress: Path | None = None

    def check(self, settings: AuditSettings) -> None:
        """Refuses what would be ignored, or would do harm."""
        if self.form not in FORMS:
            raise typer.BadParameter(f"--as is one of {', '.join(FORMS)}")
        if (self.form == "topic") != (self.topic is not None):
            raise typer.BadParameter("--topic goes with --as topic")
        if self.form != "topic" and (self.progress is not None or self.rate is not None):
            raise typer.BadParameter("--progress and --rate go with --as topic")
        if self.form not in ("jsonl", "parquet") and self.out is not None:
            raise typer.BadParameter("--out goes with --as jsonl and --as parquet")
        if self.form == "parquet" and self.out is None and sys.stdout.isatty():
            raise typer.BadParameter("--as parquet is no text for a terminal: name a file with --out")
        if self.topic in {spec.name for spec in settings.topics.specs()}:
            raise typer.BadParameter(
                f"{self.topic} is the system's own: replaying there would be asking and telling again"
            )

    def open(
        self, settings: AuditSettings, noted: ProgressFile | None, meter: Meter
    ) -> AbstractAsyncContextManager[Output]:
        match self.form:
            case "terminal":
                return _terminal(meter)
            case "topic":
                return _topic(self, settings, noted)
            case _:
                return _file(self)


@asynccontextmanager
async def _terminal(meter: Meter) -> AsyncIterator[Output]:
    output = TerminalOutput(Console(highlight=False), begins=meter.hide)
    try:
        yield output
    finally:
        # What was read before an error is told too.
        output.close(saying(screen()))


@asynccontextmanager
async def _topic(target: Target, settings: AuditSettings, noted: ProgressFile | None) -> AsyncIterator[Output]:
    # Kafka's client, slow to load.
    from evaluation_cancel.consumer.audit.kafka.client import partitions_of, translated  # noqa: PLC0415
    from evaluation_cancel.consumer.kafka.event_producer import KafkaEventProducer  # noqa: PLC0415

    topic = target.topic or ""
    with translated():
        async with asyncio.timeout(settings.audit_read_timeout):
            there = await partitions_of(settings.kafka_client(), [topic])
    if not there:
        # Sending could make the broker create it, with whatever partitions and retention it has for unknown ones.
        raise Refusal("no_topic", f"the broker has no topic {topic}; create it first, with the retention it is to have")
    # The same careful producer as the outbox's.
    sender = KafkaEventProducer(client_settings=settings.kafka_client(), deadline=settings.publish_timeout)
    rate = target.rate or settings.audit_replay_rate
    try:
        yield TopicOutput(sender=sender, topic=topic, rate=rate, progress_file=noted)
    finally:
        await sender.close()


@asynccontextmanager
async def _file(target: Target) -> AsyncIterator[Output]:
    """Under its own name only when it is whole: half of it would look like all."""
    if target.out is None:
        async with _written(target.form, sys.stdout.buffer) as output:
            yield output
        return
    unfinished = target.out.with_name(target.out.name + ".unfinished")
    try:
        with unfinished.open("wb") as file:
            async with _written(target.form, file) as output:
                yield output
        unfinished.replace(target.out)
    finally:
        unfinished.unlink(missing_ok=True)


@asynccontextmanager
async def _written(form: str, file: IO[Any]) -> AsyncIterator[Output]:
    if form == "parquet":
        from evaluation_cancel.consumer.audit.replay.parquet import ParquetOutput  # noqa: PLC0415  # slow to load

        parquet = ParquetOutput(file)
        yield parquet
        parquet.close()
    else:
        yield JsonLinesOutput(file)
    file.flush()
