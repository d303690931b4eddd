"""A decoded command with its position in Kafka, as intake passes it to the decision and the inbox keeps it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from evaluation_cancel.schemas.commands import CancelEvaluation
from evaluation_cancel.schemas.envelope import Envelope
from evaluation_cancel.schemas.wire.records import RawRecord


class CommandKey(NamedTuple):
    """The identity of a command: two commands with the same source and id are the same command."""

    source: str
    id: str


class Position(NamedTuple):
    """An offset in a partition of a topic."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceivedCommand:
    """One CancelEvaluation and its position. `record` is None when it was read back from the inbox."""

    source: str
    id: str
    evaluation_id: UUID
    fingerprint: bytes
    """Differs when a source uses an id again for a command that means something else."""
    actor_kind: str
    actor_id: str
    team_ids: tuple[str, ...]
    every_team: bool
    reason: str | None
    cleanup_artifacts: bool
    requested_at: datetime | None
    expires_at: datetime | None
    traceparent: str | None
    correlation_id: str | None
    topic: str
    partition: int
    offset: int
    raw_sha256: bytes
    record: RawRecord | None = None

    @property
    def key(self) -> CommandKey:
        return CommandKey(self.source, self.id)

    @property
    def position(self) -> Position:
        return Position(self.topic, self.partition, self.offset)


def received(
    record: RawRecord, envelope: Envelope, command: CancelEvaluation, may_act_for_every_team: Callable[[str], bool]
) -> ReceivedCommand:
    """Combines a decoded command with its position; settings define which sources may act for every team."""
    return ReceivedCommand(
        source=envelope.source,
        id=envelope.id,
        evaluation_id=command.evaluation_id,
        fingerprint=command.meaning(),
        actor_kind=command.requested_by.kind,
        actor_id=command.requested_by.id,
        team_ids=command.requested_by.team_ids,
        every_team=may_act_for_every_team(envelope.source),
        reason=command.reason,
        cleanup_artifacts=command.cleanup_artifacts,
        requested_at=envelope.time,
        expires_at=envelope.expirytime,
        traceparent=envelope.traceparent,
        correlation_id=envelope.correlationid,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        raw_sha256=hashlib.sha256(record.value or b"").digest(),
        record=record,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class InboxRow:
    """A command with its decision and the facts behind it; `decision` is None if another session held the evaluation.

    The fields `…_seen` are the evaluation under lock; `fence_seen` is the open cancellation or the one that ended it.
    """

    command: ReceivedCommand
    decision: str | None = None
    code: str | None = None
    team_seen: str | None = None
    status_seen: str | None = None
    ended_seen: datetime | None = None
    fence_seen: UUID | None = None
    cancellation_id: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownCommand:
    """A command that the inbox holds already."""

    source: str
    id: str
    fingerprint: bytes
    topic: str
    partition: int
    offset: int
    opening_source: str
    """With `opening_id`, the command that opened this one's cancellation; this one itself if it was rejected."""
    opening_id: str

    @property
    def position(self) -> Position:
        return Position(self.topic, self.partition, self.offset)
