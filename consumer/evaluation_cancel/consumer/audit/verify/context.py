"""What the judges of `verify` share: the archive's reach, patience, and the rows of Postgres beside the archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from evaluation_cancel.consumer.audit.archive.offsets import Ranges
from evaluation_cancel.consumer.audit.history.strict import ArchivedEvaluation, Position
from evaluation_cancel.consumer.audit.verify.findings import Findings
from evaluation_cancel.consumer.sql.database import Row

_MARGIN: Final = timedelta(days=1)
"""Retention is swept now and then: what is about to go may be gone or not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetterSeen:
    """A dead letter in the archive: where, why, and of which bytes."""

    where: str
    code: str
    sha256: bytes


@dataclass(kw_only=True, slots=True)
class Reach:
    """Which offsets the archive covers, and which of them it names as expired."""

    next_offsets: dict[tuple[str, int], int] = field(default_factory=dict)
    expired: dict[tuple[str, int], Ranges] = field(default_factory=dict)
    unsound: list[tuple[str, int, int, int]] = field(default_factory=list)
    """(topic, partition, first, last) of objects that could not be read: told once, not for each record."""

    def covers(self, position: Position) -> bool:
        """Whether a record there must be in the archive."""
        topic, partition, offset = position
        if offset >= self.next_offsets.get((topic, partition), 0):
            return False
        if any(first <= offset <= last for first, last in self.expired.get((topic, partition), ())):
            return False
        return not any((topic, partition) == (t, p) and first <= offset <= last for t, p, first, last in self.unsound)

    def is_whole(self, topic: str) -> bool:
        """Whether nothing of the topic had expired or is unsound."""
        return not any(t == topic and ranges for (t, _), ranges in self.expired.items()) and not any(
            t == topic for t, _, _, _ in self.unsound
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredEvaluation:
    """What Postgres has of one evaluation now."""

    evaluation: Row | None = None
    commands: Sequence[Row] = ()
    cancellations: Sequence[Row] = ()
    messages: Sequence[Row] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """One verification's circumstances."""

    findings: Findings
    now: datetime
    lag: timedelta
    """What is younger may still be on its way."""
    reach: Reach
    dead: Mapping[Position, DeadLetterSeen]
    commands_topic: str
    events_topic: str
    inbox_kept: timedelta
    messages_kept: timedelta
    every_team_sources: frozenset[str] = frozenset()

    def is_young(self, at: datetime) -> bool:
        return self.now - at < self.lag

    def inbox_has(self, at: datetime) -> bool:
        """Whether Postgres must still know a command of this age."""
        return self.now - at < self.inbox_kept - _MARGIN

    def messages_have(self, at: datetime) -> bool:
        return self.now - at < self.messages_kept - _MARGIN


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One evaluation to be judged. `stored` is None when Postgres could not be asked."""

    evaluation_id: UUID
    archived: ArchivedEvaluation
    stored: StoredEvaluation | None
