"""Counts the events of a span of time: decisions by team and actor, durations, failures by code.

Each event counts once, however often it was published. Rejections have no team, by contract. Memory holds the sums and
a few numbers for each event. `view.py` and `html.py` show the report.
"""

from __future__ import annotations

import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from evaluation_cancel.consumer.audit.history.history import FROM_THE_START, History, Progress
from evaluation_cancel.consumer.audit.history.selection import Selection
from evaluation_cancel.consumer.audit.history.strict import time_of
from evaluation_cancel.schemas.events import (
    EvaluationArtifactsCleaned,
    EvaluationCancelAccepted,
    EvaluationCancelFailed,
    EvaluationCancelled,
    EvaluationCancelRejected,
    Event,
)
from evaluation_cancel.schemas.wire.codec import UndecodableRecord, decode_event
from evaluation_cancel.schemas.wire.records import RawRecord


@dataclass(kw_only=True, slots=True)
class Report:
    """Sums over a span of time. Durations are in seconds."""

    since: datetime | None
    before: datetime
    source: str
    first_at: datetime | None = None
    """The timestamp in Kafka of the first counted event."""
    decisions: Counter[str] = field(default_factory=Counter)
    """`accepted`, `joined`, and the codes of rejections."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """`cancelled`, `failed`, and `open`: accepted in this time and not ended in it."""
    teams: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(team, `accepted`, `cancelled` or `failed`)."""
    actors: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(actor, decision), where an actor is `user ada` or `service api`."""
    failures: Counter[str] = field(default_factory=Counter)
    cleanups: Counter[str] = field(default_factory=Counter)
    kept_codes: Counter[str] = field(default_factory=Counter)
    """Artifacts that could not be deleted, by error code."""
    days: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(day, decision)."""
    from_acceptance: array.array[float] = field(default_factory=lambda: array.array("d"))
    """Durations from acceptance to cancelled."""
    from_request: array.array[float] = field(default_factory=lambda: array.array("d"))
    """Durations from the time of the request to cancelled, for commands that have it."""
    undecodable: int = 0
    by_hand: int = 0
    """Cancellations that an operator closed."""
    presumed: Counter[str] = field(default_factory=Counter)
    """Cancellations whose stop is presumed, by doubt; one with several counts for each."""


class Counting:
    """Counts events into a report, each id once."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._seen: set[int] = set()
        self._open: set[int] = set()

    def count(self, record: RawRecord) -> None:
        """Count one record of the events topic."""
        try:
            envelope, event = decode_event(record)
        except UndecodableRecord:
            self._report.undecodable += 1
            return
        identity = hash(envelope.id)
        if identity in self._seen:
            return
        self._seen.add(identity)
        at = time_of(record)
        self._report.first_at = min(at, self._report.first_at or at)
        self._count(event, f"{at:%Y-%m-%d}")

    def end(self) -> None:
        """Count the open cancellations, after the last record."""
        self._report.outcomes["open"] = len(self._open)

    def _count(self, event: Event, day: str) -> None:
        match event:
            case EvaluationCancelAccepted():
                self._decided(event, "accepted", day)
                self._report.teams[event.team_id, "accepted"] += 1
                self._open.add(event.cancellation_id.int)
            case EvaluationCancelRejected():
                self._decided(event, event.code, day)
            case EvaluationCancelled():
                self._cancelled(event)
            case EvaluationCancelFailed():
                self._ended(event, "failed")
                self._report.failures[event.code] += 1
            case EvaluationArtifactsCleaned():
                self._report.cleanups[event.state] += 1
                self._report.kept_codes.update(event.failed_codes)

    def _decided(self, event: EvaluationCancelAccepted | EvaluationCancelRejected, decision: str, day: str) -> None:
        actor = f"{event.requested_by.kind} {event.requested_by.id}"
        self._report.decisions[decision] += 1
        self._report.actors[actor, decision] += 1
        self._report.days[day, decision] += 1

    def _cancelled(self, event: EvaluationCancelled) -> None:
        self._ended(event, "cancelled")
        self._report.by_hand += event.evidence.resolved_by is not None
        self._report.presumed.update(event.evidence.doubts)
        self._report.from_acceptance.append((event.cancelled_at - event.accepted_at).total_seconds())
        if event.requested_at is not None:
            self._report.from_request.append((event.cancelled_at - event.requested_at).total_seconds())

    def _ended(self, event: EvaluationCancelled | EvaluationCancelFailed, outcome: str) -> None:
        self._report.outcomes[outcome] += 1
        self._report.teams[event.team_id, outcome] += 1
        self._report.decisions["joined"] += max(0, event.command_count - 1)
        self._open.discard(event.cancellation_id.int)


async def count(history: History, topic: str, selection: Selection, progress: Progress) -> Report:
    """Count all events of the selection."""
    before = _moment(selection.before_ms) or datetime.now(UTC)
    report = Report(since=_moment(selection.since_ms), before=before, source=history.name)
    counting = Counting(report)
    matches = selection.matcher()
    async for piece in history.pieces([topic], selection, progress, FROM_THE_START):
        for record in filter(matches, piece.records):
            counting.count(record)
        progress.done(piece.steps, len(piece.records))
    counting.end()
    return report


def percentile(values: Sequence[float], share: float) -> float | None:
    """The lowest of the sorted values that this share of them does not exceed. None without values."""
    if not values:
        return None
    return values[min(len(values) - 1, max(0, -int(-share * len(values) // 1) - 1))]


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
