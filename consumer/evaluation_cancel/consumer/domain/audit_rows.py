"""The rows that audit reads of an evaluation, each with the names of its columns, and all of them together.

A forger may have left anything in a table, so JSON stays text here and is parsed where it is checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from evaluation_cancel.consumer.domain.commands import CommandKey, Position


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationRow:
    """An evaluation as it is now. The columns are those of `read_evaluations`."""

    id: UUID
    team_id: str
    status: str
    cluster: str | None
    job_namespace: str | None
    job_name: str | None
    job_uid: str | None
    bucket: str | None
    prefix: str | None
    request_key: str | None
    ended_at: datetime | None
    word: str | None
    """The word of the table that the status was made of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandRow:
    """A command of the inbox, its decision, and the state that the decision saw."""

    source: str
    id: str
    evaluation_id: UUID
    meaning: bytes
    """The command's fingerprint."""
    actor_kind: str
    actor_id: str
    team_ids: str
    """A JSON list."""
    every_team: bool
    reason: str | None
    cleanup_artifacts: bool
    requested_at: datetime | None
    expires_at: datetime | None
    topic: str
    partition: int
    offset: int
    raw_sha256: bytes
    received_at: datetime
    decision: str | None
    """`accepted`, `joined` or `rejected`. With None the other columns of the decision are None too."""
    code: str | None
    decided_at: datetime | None
    decision_version: int | None
    team_seen: str | None
    """None when there was no such evaluation."""
    status_seen: str | None
    ended_seen: datetime | None
    fence_seen: UUID | None
    """The open cancellation, or the one that ended the evaluation."""
    cancellation_id: UUID | None

    @property
    def key(self) -> CommandKey:
        """Source and id, which identify the command."""
        return CommandKey(self.source, self.id)

    @property
    def position(self) -> Position:
        """The position of its record in Kafka."""
        return Position(self.topic, self.partition, self.offset)


@dataclass(frozen=True, kw_only=True, slots=True)
class CancellationRow:
    """A cancellation with its evidence and its cleanup."""

    id: UUID
    evaluation_id: UUID
    team_id: str
    command_source: str
    command_id: str
    actor_kind: str
    actor_id: str
    reason: str | None
    status_before: str
    phase: str
    cluster: str | None
    requested_at: datetime | None
    accepted_at: datetime
    ended_at: datetime | None
    intent_at: datetime | None
    attempts: int
    joined: int
    """Commands that joined; the one that opened it is not counted."""
    next_attempt_at: datetime
    last_error_code: str | None
    last_error_text: str | None
    evidence: str | None
    """JSON."""
    cleanup_state: str
    cleanup_error_code: str | None
    cleanup_error_text: str | None
    cleanup_report: str | None
    """JSON."""

    @property
    def wants_cleanup(self) -> bool:
        """Whether one of its commands requested the deletion of artifacts."""
        return self.cleanup_state != "not_requested"


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorRow:
    """An error of an attempt. The last one of a cancellation stands for `times` errors."""

    cancellation_id: UUID
    number: int
    attempt: int
    code: str
    detail: str | None
    at: datetime
    times: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageRow:
    """An event, published or in the outbox."""

    sequence: int
    event_id: UUID
    type: str
    evaluation_id: UUID
    value: bytes | None
    headers: bytes
    created_at: datetime
    waiting: bool
    """It is still in the outbox."""
    parked_for: str | None
    """The error code for which the outbox parked it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldReportRow:
    """A status that was reported while a cancellation was open."""

    evaluation_id: UUID
    status: str
    reported_at: datetime
    applied_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredEvaluation:
    """All rows of one evaluation. `verify` leaves out errors and held reports."""

    evaluation: EvaluationRow | None = None
    commands: Sequence[CommandRow] = ()
    cancellations: Sequence[CancellationRow] = ()
    messages: Sequence[MessageRow] = ()
    errors: Sequence[ErrorRow] = ()
    held_reports: Sequence[HeldReportRow] = ()

    @property
    def begins_at(self) -> datetime | None:
        """The earliest time in any row. A command's `requested_at` may be long before the command was received."""
        times = [row.received_at for row in self.commands] + [row.accepted_at for row in self.cancellations]
        times += [row.requested_at for row in self.commands if row.requested_at is not None]
        return min((*times, *(row.created_at for row in self.messages)), default=None)
