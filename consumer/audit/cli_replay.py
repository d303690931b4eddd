"""The command `replay`: what was asked on the command line, made into a history, a selection and an output."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated, Any, Literal
from uuid import UUID

import typer
from rich.console import Console

from consumer.audit.asked import history_from, milliseconds, moment, saying, source_of, types_of
from consumer.audit.history import FROM_THE_START
from consumer.audit.progress import metered
from consumer.audit.replay import Output, replay
from consumer.audit.replay_outputs import JsonLinesOutput, TerminalOutput
from consumer.audit.replay_topic import ProgressFile, TopicOutput, producer
from consumer.audit.running import ask, screen
from consumer.audit.selection import Selection
from consumer.audit.settings import AuditSettings
from consumer.settings import read_settings

Form = Literal["terminal", "jsonl", "parquet", "topic"]


def replay_command(  # noqa: PLR0917  # each is an option of the command line
    source: Annotated[str | None, typer.Option(help="kafka or archive; the archive where there is one.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="A time, or an age as 36h or 7d.")] = None,
    before: Annotated[str | None, typer.Option("--to", help="The same; not included.")] = None,
    evaluation: Annotated[UUID | None, typer.Option(help="Of this evaluation only.")] = None,
    team: Annotated[str | None, typer.Option(help="Of this team's evaluations, and commands that act for it.")] = None,
    actor: Annotated[str | None, typer.Option(help="Asked for by this user or service.")] = None,
    kind: Annotated[list[str] | None, typer.Option("--type", help="Short type; may be given again.")] = None,
    decision: Annotated[str | None, typer.Option(help="accepted, rejected, or a rejection's code.")] = None,
    form: Annotated[str, typer.Option("--as", help="terminal, jsonl, parquet or topic.")] = "terminal",
    out: Annotated[Path | None, typer.Option(help="File to write; standard output when absent.")] = None,
    topic: Annotated[str | None, typer.Option(help="With --as topic: where to.")] = None,
    rate: Annotated[float | None, typer.Option(help="With --as topic: records a second at most.", min=0.1)] = None,
    progress: Annotated[Path | None, typer.Option(help="With --as topic: notes how far it is, to go on there.")] = None,
    *,
    dead_letters: Annotated[bool, typer.Option("--dead-letters", help="Dead letters too.")] = False,
) -> None:
    """Replay commands and events: read them again, as they were, without changing anything."""
    settings, now = read_settings(AuditSettings), datetime.now(UTC)
    selection = Selection(
        since_ms=milliseconds(moment(since, now)),
        before_ms=milliseconds(moment(before, now)),
        evaluation=evaluation,
        team=team,
        actor=actor,
        types=types_of(kind or ()),
        decision=decision,
    )
    names = settings.topics
    topics = [names.commands, names.events] + ([names.dead_letters] if dead_letters else [])
    chosen = source_of(source, settings)
    console = screen()

    asked = {
        "source": chosen,
        "topic": topic,
        "topics": topics,
        "from": since,
        "to": before,
        "evaluation": str(evaluation),
        "team": team,
        "actor": actor,
        "types": sorted(selection.types),
        "decision": decision,
    }

    async def run() -> int:
        noted = None if progress is None else ProgressFile(progress, asked, selection)
        resume = FROM_THE_START if noted is None else noted.load()
        wanted = selection if noted is None else noted.selection
        async with (
            history_from(chosen, settings, saying(console)) as history,
            _output(form, settings, out=out, topic=topic, rate=rate, noted=noted) as output,
        ):
            with metered(console, "Replay", quiet=form == "terminal") as meter:
                return await replay(history, topics, wanted, output, meter, resume=resume)

    _check(form, topic, progress, settings)
    count = ask(run())
    console.print(f"{count:,} records replayed.", highlight=False)


def _check(form: str, topic: str | None, progress: Path | None, settings: AuditSettings) -> None:
    if form not in ("terminal", "jsonl", "parquet", "topic"):
        raise typer.BadParameter("--as is terminal, jsonl, parquet or topic")
    if (form == "topic") != (topic is not None) or (progress is not None and form != "topic"):
        raise typer.BadParameter("--topic goes with --as topic, and --progress with both")
    if topic in {spec.name for spec in settings.topics.specs()}:
        raise typer.BadParameter(f"{topic} is the system's own: replaying there would be asking and telling again")


@asynccontextmanager
async def _output(
    form: str,
    settings: AuditSettings,
    *,
    out: Path | None,
    topic: str | None,
    rate: float | None,
    noted: ProgressFile | None,
) -> AsyncIterator[Output]:
    if form == "terminal":
        yield TerminalOutput(Console(highlight=False))
    elif form == "topic" and topic is not None:
        sender = producer(settings.kafka_client(), settings.publish_timeout)
        try:
            yield TopicOutput(sender=sender, topic=topic, rate=rate or settings.audit_replay_rate, progress_file=noted)
        finally:
            await sender.close()
    else:
        async with _file_output(form, out) as output:
            yield output


@asynccontextmanager
async def _file_output(form: str, out: Path | None) -> AsyncIterator[Output]:
    file: IO[Any] = sys.stdout.buffer if out is None else out.open("wb")
    try:
        if form == "parquet":
            from consumer.audit.replay_parquet import ParquetOutput  # noqa: PLC0415  # slow to load

            parquet = ParquetOutput(file)
            yield parquet
            parquet.close()
        else:
            yield JsonLinesOutput(file)
        file.flush()
    finally:
        if out is not None:
            file.close()
