"""Options that several commands take: times, names of types and decisions, and the source of the history."""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, get_args

import typer
from rich.console import Console
from rich.text import Text

from evaluation_cancel.consumer.audit.cli import wiring
from evaluation_cancel.consumer.audit.cli.settings import AuditSettings
from evaluation_cancel.consumer.audit.history.facts import COMMAND, DEAD_LETTER
from evaluation_cancel.consumer.audit.history.history import ArchiveHistory, History, KafkaHistory, OnRemark
from evaluation_cancel.consumer.domain.errors import Refusal
from evaluation_cancel.schemas.events import EVENT_TYPES, RejectionCode
from evaluation_cancel.schemas.plain_text import visible

Source = Literal["kafka", "archive"]
SourceName = Annotated[
    str | None, typer.Option("--source", help="kafka or archive. Default: the archive if there is one.")
]
Since = Annotated[str | None, typer.Option("--from", help="A time (2026-11-24T12:00Z) or an age (36h, 7d).")]
Before = Annotated[str | None, typer.Option("--to", help="A time or an age. Not included.")]
TYPES: Final = (COMMAND, *EVENT_TYPES, DEAD_LETTER)
DECISIONS: Final = ("accepted", "rejected", *get_args(RejectionCode))
"""The decisions that have an event. A joined command has none; the outcome that it shares names its id."""
_AGO: Final = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str | None, now: datetime) -> datetime | None:
    """Parse a time such as `2026-11-24T12:00Z`, or an age such as `36h` before `now`. Times default to UTC."""
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
    """Parse `--from` and `--to` into the first selected millisecond and the first one after the selection."""
    now = datetime.now(UTC)
    first, end = (_milliseconds(moment(text, now)) for text in (since, before))
    if first is not None and first >= (math.floor(now.timestamp() * 1000) if end is None else end):
        raise typer.BadParameter(f"--from {since} is not before {'now' if before is None else f'--to {before}'}")
    return first, end


def _milliseconds(at: datetime | None) -> int | None:
    return None if at is None else math.floor(at.timestamp() * 1000)


def decision_of(name: str | None) -> str | None:
    """Check the name of a decision."""
    if name is not None and name not in DECISIONS:
        raise typer.BadParameter(f"decision {name!r} is not one of {', '.join(DECISIONS)}")
    return name


def types_of(names: Sequence[str]) -> frozenset[str]:
    """Check the short names of types."""
    for name in names:
        if name not in TYPES:
            raise typer.BadParameter(f"type {name!r} is not one of {', '.join(TYPES)}")
    return frozenset(names)


def source_of(name: str | None, settings: AuditSettings) -> Source:
    """Check the name of a source. The default is the archive if there is one, because it has older records."""
    if name is None:
        return "kafka" if settings.audit_bucket is None else "archive"
    if name not in get_args(Source):
        raise typer.BadParameter(f"source {name!r} is not one of {', '.join(get_args(Source))}")
    return "kafka" if name == "kafka" else "archive"


@asynccontextmanager
async def history_from(
    source: Source, settings: AuditSettings, on_remark: OnRemark, *, tolerant: bool = False
) -> AsyncIterator[History]:
    """Open the history of a source. `tolerant`: skip objects of the archive that are not sound."""
    if source == "archive":
        async with wiring.store(settings) as store:
            yield ArchiveHistory(store, wiring.trusted_keys(settings), on_remark=on_remark, tolerant=tolerant)
    else:
        async with wiring.kafka(settings) as log:
            if not log.partitions:
                raise Refusal("no_topics", "the broker has none of the topics; check EVALUATION_CANCEL_TOPIC_PREFIX")
            yield KafkaHistory(log, patience=settings.audit_read_timeout, on_remark=on_remark)


def print_remarks(console: Console) -> OnRemark:
    """A callback that prints remarks on the console."""
    return lambda sentence: console.print(Text(visible(sentence)), style="yellow", highlight=False, soft_wrap=True)
