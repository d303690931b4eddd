"""The command `replay`: turns its options into a history, a selection and an output.

`replay_target.py` checks and opens the output.
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
    print_remarks,
    source_of,
    span,
    types_of,
)
from evaluation_cancel.consumer.audit.cli.replay_target import FORMS, Target
from evaluation_cancel.consumer.audit.cli.settings import AuditSettings
from evaluation_cancel.consumer.audit.cli.terminal import run_command, stderr_console
from evaluation_cancel.consumer.audit.history.facts import DEAD_LETTER
from evaluation_cancel.consumer.audit.history.history import FROM_THE_START
from evaluation_cancel.consumer.audit.history.progress import metered
from evaluation_cancel.consumer.audit.history.selection import Selection
from evaluation_cancel.consumer.audit.replay.replay import replay
from evaluation_cancel.consumer.audit.replay.topic import ProgressFile
from evaluation_cancel.schemas.settings.loading import load_settings

Evaluation = Annotated[UUID | None, typer.Option(help="Only records of this evaluation.")]
Team = Annotated[
    str | None, typer.Option(help="Only records of this team's evaluations, and commands that act for the team.")
]
Actor = Annotated[str | None, typer.Option(help="Only requests of this user or service.")]
Types = Annotated[
    list[str] | None, typer.Option("--type", help=f"Only this type; may be repeated. One of {', '.join(TYPES)}.")
]
Decision = Annotated[str | None, typer.Option(help=f"Only events with this decision: {', '.join(DECISIONS)}.")]
Form = Annotated[str, typer.Option("--as", help=f"One of {', '.join(FORMS)}.")]
Out = Annotated[Path | None, typer.Option(help="File for jsonl and parquet. Default: standard output.")]
TopicName = Annotated[str | None, typer.Option("--topic", help="With --as topic: the target topic.")]
Rate = Annotated[float | None, typer.Option(help="With --as topic: records per second at most.", min=0.1)]
ProgressPath = Annotated[
    Path | None, typer.Option("--progress", help="With --as topic: file to resume an interrupted replay.")
]
DeadLetters = Annotated[bool, typer.Option("--dead-letters", help="Include dead letters.")]


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
    """Replay past commands and events unchanged, to the terminal, a file or another topic."""
    settings, console = load_settings(AuditSettings), stderr_console()
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
    request = _Request(
        source=source_of(source, settings), selection=selection, dead_letters=dead_letters, since=since, before=before
    )
    count = run_command(_replay(settings, request, target, console))
    console.print(f"{count:,} records replayed.", highlight=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Request:
    """The records to replay. `since` and `before` are as given on the command line."""

    source: Source
    selection: Selection
    dead_letters: bool
    since: str | None
    before: str | None

    def topics(self, settings: AuditSettings) -> list[str]:
        names = settings.topics
        with_dead_letters = self.dead_letters or DEAD_LETTER in self.selection.types
        return [names.commands, names.events] + ([names.dead_letters] if with_dead_letters else [])

    def options(self, settings: AuditSettings, target: Target) -> dict[str, Any]:
        """The options that a progress file belongs to."""
        selection = self.selection
        return {
            "source": self.source,
            "topic": target.topic,
            "topics": self.topics(settings),
            "from": self.since,
            "to": self.before,
            "evaluation": None if selection.evaluation is None else str(selection.evaluation),
            "team": selection.team,
            "actor": selection.actor,
            "types": sorted(selection.types),
            "decision": selection.decision,
        }


async def _replay(settings: AuditSettings, request: _Request, target: Target, console: Console) -> int:
    progress_file, resume, selection = None, FROM_THE_START, request.selection
    if target.progress is not None:
        progress_file = ProgressFile(target.progress, request.options(settings, target), selection)
        resume = progress_file.load()
        selection = progress_file.selection
    async with history_from(request.source, settings, print_remarks(console)) as history:
        with metered(console, "Replay") as meter:
            async with target.open(settings, progress_file, meter) as output:
                return await replay(history, request.topics(settings), selection, output, meter, resume=resume)
