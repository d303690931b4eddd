"""A command as it was understood, with where it came from: what intake hands to the decision and the inbox keeps."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from evaluation_cancel.schemas.commands import CancelEvaluation
from evaluation_cancel.schemas.envelope import Envelope
from evaluation_cancel.schemas.wire.records import RawRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceivedCommand:
    """One CancelEvaluation and its position. `record` is None when it was read back from the inbox."""

    source: str
    id: str
    evaluation_id: UUID
    meaning: bytes
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
    def key(self) -> tuple[str, str]:
        """What makes a command the same command: its source and id."""
        return (self.source, self.id)

    @property
    def position(self) -> tuple[str, int, int]:
        return (self.topic, self.partition, self.offset)


def received(
    record: RawRecord, envelope: Envelope, command: CancelEvaluation, may_act_for_every_team: Callable[[str], bool]
) -> ReceivedCommand:
    """Joins a decoded command with its position; whether its source may act for all teams comes from settings."""
    return ReceivedCommand(
        source=envelope.source,
        id=envelope.id,
        evaluation_id=command.evaluation_id,
        meaning=command.meaning(),
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
    """A command with its decision and what that saw; `decision` is None while its evaluation is locked by somebody."""

    command: ReceivedCommand
    decision: str | None = None
    code: str | None = None
    team_seen: str | None = None
    status_seen: str | None = None
    ended_seen: datetime | None = None
    fence_seen: UUID | None = None
    cancellation_id: UUID | None = None
