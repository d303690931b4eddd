"""The values that the checks of `verify` share: options, the extent of the archive, an evaluation with its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from evaluation_cancel.consumer.audit.archive.chain import Head
from evaluation_cancel.consumer.audit.archive.offsets import Ranges
from evaluation_cancel.consumer.audit.history.strict import ArchivedEvaluation
from evaluation_cancel.consumer.audit.kafka.reading import Partition
from evaluation_cancel.consumer.audit.verify.findings import Findings
from evaluation_cancel.consumer.domain.audit_rows import StoredEvaluation
from evaluation_cancel.consumer.domain.commands import Position
from evaluation_cancel.schemas.topics import Topics

_MARGIN: Final = timedelta(days=1)
"""Retention runs periodically, so rows that are about to expire may be there or not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """The options of one verification."""

    topics: Topics
    lag: timedelta
    """Younger commands, events and rows may still be on their way; they are not reported as missing."""
    inbox_kept: timedelta
    """How long Postgres keeps commands."""
    messages_kept: timedelta
    """How long Postgres keeps published messages."""
    accept_bare: bool = True
    """Whether a command without an envelope is valid."""
    every_team_sources: frozenset[str] = frozenset()
    """The sources that may act for every team."""
    checkpoints: Mapping[Partition, Head] = field(default_factory=dict)
    """Heads of an earlier verification, which the chains must still contain."""
    kafka_bounds: Mapping[Partition, tuple[int, int]] | None = None
    """The first and the end offset of each partition in Kafka; None if Kafka could not be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetterSeen:
    """A dead letter in the archive: its position, its code, and the digest of the original record."""

    where: str
    code: str
    sha256: bytes


@dataclass(kw_only=True, slots=True)
class Reach:
    """The offsets that the archive covers."""

    next_offsets: dict[Partition, int] = field(default_factory=dict)
    """The offset after the last archived one of each partition."""
    expired: dict[Partition, Ranges] = field(default_factory=dict)
    unsound: list[tuple[str, int, int, int]] = field(default_factory=list)
    """Topic, partition, first and last offset of objects that could not be read. Each is reported once already."""

    def covers(self, position: Position) -> bool:
        """Whether the archive must contain the record at this position."""
        topic, partition, offset = position
        if self.is_after_end(position):
            return False
        if any(first <= offset <= last for first, last in self.expired.get((topic, partition), ())):
            return False
        return not any((topic, partition) == (t, p) and first <= offset <= last for t, p, first, last in self.unsound)

    def is_after_end(self, position: Position) -> bool:
        """Whether the position is after the last archived offset of its partition."""
        return position.offset >= self.next_offsets.get((position.topic, position.partition), 0)

    def is_whole(self, topic: str) -> bool:
        """Whether no offset of the topic is expired or in an unsound object."""
        return not any(t == topic and ranges for (t, _), ranges in self.expired.items()) and not any(
            t == topic for t, _, _, _ in self.unsound
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What the checks of all evaluations share. The fields that `Verification` has too mean the same."""

    findings: Findings
    now: datetime
    lag: timedelta
    reach: Reach
    dead: Mapping[Position, DeadLetterSeen]
    """The archived dead letters, by the position of the original record."""
    commands_topic: str
    events_topic: str
    inbox_kept: timedelta
    messages_kept: timedelta
    every_team_sources: frozenset[str] = frozenset()

    def is_young(self, at: datetime) -> bool:
        """Whether records or rows of this time may still be on their way."""
        return self.now - at < self.lag

    def inbox_has(self, at: datetime) -> bool:
        """Whether Postgres must still have the commands of this time."""
        return self.now - at < self.inbox_kept - _MARGIN

    def messages_have(self, at: datetime) -> bool:
        """Whether Postgres must still have the messages of this time."""
        return self.now - at < self.messages_kept - _MARGIN


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One evaluation to check. `stored` is None when Postgres is not read."""

    evaluation_id: UUID
    archived: ArchivedEvaluation
    stored: StoredEvaluation | None
