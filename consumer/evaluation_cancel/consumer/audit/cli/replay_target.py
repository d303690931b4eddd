"""The target of a replay, from the command line: checks its options, then opens its output."""

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

from evaluation_cancel.consumer.audit.cli.options import print_remarks
from evaluation_cancel.consumer.audit.cli.settings import AuditSettings
from evaluation_cancel.consumer.audit.cli.terminal import stderr_console
from evaluation_cancel.consumer.audit.history.progress import Meter
from evaluation_cancel.consumer.audit.replay.outputs import JsonLinesOutput, TerminalOutput
from evaluation_cancel.consumer.audit.replay.replay import Output
from evaluation_cancel.consumer.audit.replay.topic import ProgressFile, TopicOutput
from evaluation_cancel.consumer.domain.errors import Refusal

FORMS: Final = ("terminal", "jsonl", "parquet", "topic")


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """The options of the target."""

    form: str
    out: Path | None = None
    topic: str | None = None
    rate: float | None = None
    progress: Path | None = None

    def check(self, settings: AuditSettings) -> None:
        """Raise `BadParameter` for options that would be ignored or do harm."""
        if self.form not in FORMS:
            raise typer.BadParameter(f"--as is one of {', '.join(FORMS)}")
        if (self.form == "topic") != (self.topic is not None):
            raise typer.BadParameter("--topic goes with --as topic")
        if self.form != "topic" and (self.progress is not None or self.rate is not None):
            raise typer.BadParameter("--progress and --rate go with --as topic")
        if self.form not in ("jsonl", "parquet") and self.out is not None:
            raise typer.BadParameter("--out goes with --as jsonl and --as parquet")
        if self.form == "parquet" and self.out is None and sys.stdout.isatty():
            raise typer.BadParameter("--as parquet writes binary data, not for a terminal: name a file with --out")
        if self.topic in {spec.name for spec in settings.topics.specs()}:
            raise typer.BadParameter(
                f"{self.topic} is the system's own topic: its services would handle the copies again"
            )

    def open(
        self, settings: AuditSettings, progress_file: ProgressFile | None, meter: Meter
    ) -> AbstractAsyncContextManager[Output]:
        """The output, as a context manager that finishes it."""
        match self.form:
            case "terminal":
                return _terminal(meter)
            case "topic":
                return _topic(self, settings, progress_file)
            case _:
                return _file(self)


@asynccontextmanager
async def _terminal(meter: Meter) -> AsyncIterator[Output]:
    output = TerminalOutput(Console(highlight=False), before_line=meter.hide)
    try:
        yield output
    finally:
        # Print the records that were read before an error, too.
        output.close(print_remarks(stderr_console()))


@asynccontextmanager
async def _topic(target: Target, settings: AuditSettings, progress_file: ProgressFile | None) -> AsyncIterator[Output]:
    # Kafka's client, slow to load.
    from evaluation_cancel.consumer.audit.kafka.client import partitions_of, translated  # noqa: PLC0415
    from evaluation_cancel.consumer.kafka.event_producer import KafkaEventProducer  # noqa: PLC0415

    topic = target.topic or ""
    with translated():
        async with asyncio.timeout(settings.audit_read_timeout):
            partitions = await partitions_of(settings.kafka_client(), [topic])
    if not partitions:
        # Sending could make the broker create the topic, with default partitions and retention.
        raise Refusal("no_topic", f"the broker has no topic {topic}; create it first")
    sender = KafkaEventProducer(client_settings=settings.kafka_client, deadline=settings.publish_timeout)
    rate = target.rate or settings.audit_replay_rate
    try:
        yield TopicOutput(sender=sender, topic=topic, rate=rate, progress_file=progress_file)
    finally:
        await sender.close()


@asynccontextmanager
async def _file(target: Target) -> AsyncIterator[Output]:
    """Write to a temporary name, and rename the file when it is complete."""
    if target.out is None:
        async with _file_output(target.form, sys.stdout.buffer) as output:
            yield output
        return
    unfinished = target.out.with_name(target.out.name + ".unfinished")
    try:
        with unfinished.open("wb") as file:
            async with _file_output(target.form, file) as output:
                yield output
        unfinished.replace(target.out)
    finally:
        unfinished.unlink(missing_ok=True)


@asynccontextmanager
async def _file_output(form: str, file: IO[Any]) -> AsyncIterator[Output]:
    if form == "parquet":
        from evaluation_cancel.consumer.audit.replay.parquet import ParquetOutput  # noqa: PLC0415  # slow to load

        parquet = ParquetOutput(file)
        yield parquet
        parquet.close()
    else:
        yield JsonLinesOutput(file)
    file.flush()
