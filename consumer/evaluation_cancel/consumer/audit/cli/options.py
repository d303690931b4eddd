"""What the command line's words mean: moments, selections, where history comes from."""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, get_args

import typer
from rich.console import Console

from evaluation_cancel.consumer.audit.cli import wiring as parts
from evaluation_cancel.consumer.audit.cli.settings import AuditSettings
from evaluation_cancel.consumer.audit.history.facts import COMMAND, DEAD_LETTER
from evaluation_cancel.consumer.audit.history.history import ArchiveHistory, History, KafkaHistory, Say
from evaluation_cancel.consumer.domain.errors import Refusal
from evaluation_cancel.schemas.events import EVENT_TYPES, RejectionCode

Source = Literal["kafka", "archive"]
SourceName = Annotated[str | None, typer.Option("--source", help="kafka or archive; the archive where there is one.")]
Since = Annotated[str | None, typer.Option("--from", help="A time (2026-11-24T12:00Z) or an age (36h, 7d).")]
Before = Annotated[str | None, typer.Option("--to", help="The same; not included.")]
TYPES: Final = (COMMAND, *EVENT_TYPES, DEAD_LETTER)
DECISIONS: Final = ("accepted", "rejected", *get_args(RejectionCode))
"""Those that events tell. A joined command has none of its own: the outcome that it shares names its id."""
_AGO: Final = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str | None, now: datetime) -> datetime | None:
    """`2026-11-24`, `2026-11-24T12:00Z`, or `36h` for so long ago. UTC where nothing else is said."""
    if text is None:
        return None
    ago = _AGO.fullmatch(text.strip())
    try:
        if ago is not None:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        found = datetime.fromisoformat(text.strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is neither a time (2026-11-24T12:00Z) nor an age (36h, 7d)") from None


def span(since: str | None, before: str | None) -> tuple[int | None, int | None]:
    """Milliseconds: the first wanted, and the first no longer wanted."""
    now = datetime.now(UTC)
    first, end = (_milliseconds(moment(text, now)) for text in (since, before))
    if first is not None and first >= (math.floor(now.timestamp() * 1000) if end is None else end):
        raise typer.BadParameter(f"--from {since} is not before {'now' if before is None else f'--to {before}'}")
    return first, end


def _milliseconds(at: datetime | None) -> int | None:
    return None if at is None else math.floor(at.timestamp() * 1000)


def decision_of(name: str | None) -> str | None:
    if name is not None and name not in DECISIONS:
        raise typer.BadParameter(f"decision {name!r} is not one of {', '.join(DECISIONS)}")
    return name


def types_of(names: Sequence[str]) -> frozenset[str]:
    for name in names:
        if name not in TYPES:
            raise typer.BadParameter(f"type {name!r} is not one of {', '.join(TYPES)}")
    return frozenset(names)


def source_of(name: str | None, settings: AuditSettings) -> Source:
    """Where history is read from; the archive where there is one, because it reaches further back."""
    if name is None:
        return "kafka" if settings.audit_bucket is None else "archive"
    if name not in get_args(Source):
        raise typer.BadParameter(f"source {name!r} is not one of {', '.join(get_args(Source))}")
    return "kafka" if name == "kafka" else "archive"


@asynccontextmanager
async def history_from(
    source: Source, settings: AuditSettings, say: Say, *, tolerant: bool = False
) -> AsyncIterator[History]:
    """Opened as the settings say. `tolerant`: goes on behind what cannot be read."""
    if source == "archive":
        async with parts.store(settings) as store:
            yield ArchiveHistory(store, parts.trusted_keys(settings), say=say, tolerant=tolerant)
    else:
        async with parts.kafka(settings) as log:
            if not log.partitions:
                raise Refusal(
                    "no_topics", "the broker has none of the topics; is EVALUATION_CANCEL_TOPIC_PREFIX right?"
                )
            yield KafkaHistory(log, patience=settings.audit_read_timeout, say=say)


def saying(console: Console) -> Say:
    """Sentences beside the output, on standard error."""
    return lambda sentence: console.print(sentence, style="yellow", highlight=False, soft_wrap=True)
