"""The command `replay`: what was asked on the command line, made into a history, a selection and an output.

Where it goes is `replay_target.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console

from evaluation_cancel.consumer.audit.cli.options import (
    DECISIONS,
    TYPES,
    Before,
    Since,
    Source,
    SourceName,
    decision_of,
    history_from,
    saying,
    source_of,
    span,
    types_of,
)
from evaluation_cancel.consumer.audit.cli.replay_target import FORMS, Target
from evaluation_cancel.consumer.audit.cli.settings import AuditSettings
from evaluation_cancel.consumer.audit.cli.terminal import ask, screen
from evaluation_cancel.consumer.audit.history.facts import DEAD_LETTER
from evaluation_cancel.consumer.audit.history.history import FROM_THE_START
from evaluation_cancel.consumer.audit.history.progress import metered
from evaluation_cancel.consumer.audit.history.selection import Selection
from evaluation_cancel.consumer.audit.replay.replay import replay
from evaluation_cancel.consumer.audit.replay.topic import ProgressFile
from evaluation_cancel.schemas.kafka_settings import load_settings

Evaluation = Annotated[UUID | None, typer.Option(help="Of this evaluation only.")]
Team = Annotated[str | None, typer.Option(help="Of this team's evaluations, and commands that act for it.")]
Actor = Annotated[str | None, typer.Option(help="Asked for by this user or service.")]
Types = Annotated[list[str] | None, typer.Option("--type", help=f"May be given again. {', '.join(TYPES)}.")]
Decision = Annotated[str | None, typer.Option(help=f"Events that tell it: {', '.join(DECISIONS)}.")]
Form = Annotated[str, typer.Option("--as", help=f"One of {', '.join(FORMS)}.")]
Out = Annotated[Path | None, typer.Option(help="File to write, for jsonl and parquet; else standard output.")]
TopicName = Annotated[str | None, typer.Option("--topic", help="With --as topic: where to.")]
Rate = Annotated[float | None, typer.Option(help="With --as topic: records a second at most.", min=0.1)]
ProgressPath = Annotated[
    Path | None, typer.Option("--progress", help="With --as topic: notes how far it is, to go on from there.")
]
DeadLetters = Annotated[bool, typer.Option("--dead-letters", help="Dead letters too.")]


def replay_command(  # noqa: PLR0917  # each is an option of the command line
    source: SourceName = None,
    since: Since = None,
    before: Before = None,
    evaluation: Evaluation = None,
    team: Team = None,
    actor: Actor = None,
    kind: Types = None,
    decision: Decision = None,
    form: Form = "terminal",
    out: Out = None,
    topic: TopicName = None,
    rate: Rate = None,
    progress: ProgressPath = None,
    *,
    dead_letters: DeadLetters = False,
) -> None:
    """Replay commands and events: read them again, as they were, without changing anything."""
    settings, console = load_settings(AuditSettings), screen()
    target = Target(form=form, out=out, topic=topic, rate=rate, progress=progress)
    target.check(settings)
    since_ms, before_ms = span(since, before)
    selection = Selection(
        since_ms=since_ms,
        before_ms=before_ms,
        evaluation=evaluation,
        team=team,
        actor=actor,
        types=types_of(kind or ()),
        decision=decision_of(decision),
    )
    asked = _Asked(
        source=source_of(source, settings), selection=selection, dead_letters=dead_letters, since=since, before=before
    )
    count = ask(_replay(settings, asked, target, console))
    console.print(f"{count:,} records replayed.", highlight=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """What is to be replayed; `since` and `before` in the asker's own words."""

    source: Source
    selection: Selection
    dead_letters: bool
    since: str | None
    before: str | None

    def topics(self, settings: AuditSettings) -> list[str]:
        names = settings.topics
        # Dead letters are what --type DeadLetter asks for, too.
        wanted = self.dead_letters or DEAD_LETTER in self.selection.types
        return [names.commands, names.events] + ([names.dead_letters] if wanted else [])

    def words(self, settings: AuditSettings, target: Target) -> dict[str, Any]:
        """What a progress file is held against."""
        wanted = self.selection
        return {
            "source": self.source,
            "topic": target.topic,
            "topics": self.topics(settings),
            "from": self.since,
            "to": self.before,
            "evaluation": None if wanted.evaluation is None else str(wanted.evaluation),
            "team": wanted.team,
            "actor": wanted.actor,
            "types": sorted(wanted.types),
            "decision": wanted.decision,
        }


async def _replay(settings: AuditSettings, asked: _Asked, target: Target, console: Console) -> int:
    noted, resume, selection = None, FROM_THE_START, asked.selection
    if target.progress is not None:
        noted = ProgressFile(target.progress, asked.words(settings, target), selection)
        resume = noted.load()
        selection = noted.selection
    async with history_from(asked.source, settings, saying(console)) as history:
        with metered(console, "Replay") as meter:
            async with target.open(settings, noted, meter) as output:
                return await replay(history, asked.topics(settings), selection, output, meter, resume=resume)
