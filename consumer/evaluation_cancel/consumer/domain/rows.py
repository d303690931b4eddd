"""Rows of cancellations and of the outbox, as the modules of `sql/` return and take them.

`cancellations.py` and `cleanups.py` hold the values that attempts work with; the stores of `teardown/` and `cleanup/`
translate between the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple
from uuid import UUID

from evaluation_cancel.consumer.domain.cancellations import Phase


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """A cancellation to be opened by the command that was accepted."""

    id: UUID
    evaluation_id: UUID
    team_id: str
    command_source: str
    command_id: str
    actor_kind: str
    actor_id: str
    reason: str | None
    status_before: str
    cluster: str | None
    requested_at: datetime | None
    traceparent: str | None
    correlation_id: str | None
    cleanup: bool


class JoinedCommands(NamedTuple):
    """The commands of one batch that join an open cancellation."""

    commands: int
    cleanup: bool
    """One of them wants the artifacts cleaned up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedRow:
    """An open cancellation that has just been claimed; `ClaimedCancellation` explains the fields."""

    id: UUID
    evaluation_id: UUID
    team_id: str
    attempt: int
    polls: int
    errors: int
    phase: Phase
    status_before: str
    cluster: str | None
    accepted_at: datetime
    intent_at: datetime | None
    refused_since: datetime | None
    evidence: str | None
    """JSON."""
    claimed_at: datetime
    """By the database's clock."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PutBack:
    """A claimed cancellation that waits again; `code` is that of an error, None after a poll."""

    id: UUID
    attempt: int
    pause: timedelta
    evidence: str | None
    """JSON; None leaves it as it is."""
    code: str | None = None
    text: str | None = None
    nothing_deleted: bool = False
    """It is certain that no attempt deleted anything: takes the intent back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """The end of a cancellation, written only if `attempt` is still the newest."""

    id: UUID
    attempt: int
    phase: Literal["cancelled", "failed"]
    evidence: str
    """JSON."""
    code: str | None = None
    text: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EndedCancellation:
    """A cancellation as it was ended: everything that its event says, except the evidence."""

    id: UUID
    evaluation_id: UUID
    team_id: str
    command_source: str
    command_id: str
    actor_kind: Literal["user", "service"]
    actor_id: str
    reason: str | None
    status_before: str
    requested_at: datetime | None
    accepted_at: datetime
    ended_at: datetime
    traceparent: str | None
    correlation_id: str | None
    phase: Literal["cancelled", "failed"]
    cleanup: bool
    joined: int
    """Commands that joined, beside the one that opened it."""
    error_code: str | None
    error_text: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TakenOver:
    """An open cancellation that an operator took from its holder."""

    attempt: int
    evidence: str | None
    """JSON."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedCleanupRow:
    """A cleanup that has just been claimed; `ClaimedCleanup` explains the fields."""

    id: UUID
    evaluation_id: UUID
    team_id: str
    attempt: int
    errors: int
    deadline_at: datetime
    report: str | None
    """JSON."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanupPutBack:
    """A claimed cleanup that goes on later; `code` is None when the pause has another reason than an error."""

    id: UUID
    attempt: int
    pause: timedelta
    code: str | None
    text: str | None
    report: str
    """JSON."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanupEnding:
    """The end of a cleanup, written only if `attempt` is still the newest."""

    id: UUID
    attempt: int
    state: Literal["done", "partial"]
    report: str
    """JSON."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EndedCleanup:
    """A cleanup as it was ended: what its event says, except the report."""

    id: UUID
    """The cancellation's."""
    evaluation_id: UUID
    team_id: str
    command_source: str
    command_id: str
    traceparent: str | None
    correlation_id: str | None
    finished_at: datetime


class EventReference(NamedTuple):
    """An event that was published before."""

    evaluation_id: UUID
    event_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxMessage:
    """A message that waits in the outbox, with its place there."""

    id: int
    """Its place: messages are sent in this order."""
    waits_with: bytes | None
    """Messages with the same value are sent one after the other; None waits for no other."""
    sequence: int
    """The number that readers of the events topic see."""
    type: str
    event_id: UUID
    topic: str
    key: bytes | None
    value: bytes | None
    headers: bytes
    """Packed by `pack_headers`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gauges:
    """How many rows wait in each place."""

    open: int
    oldest_open_seconds: float
    unclaimed: int
    """Open cancellations that no consumer has claimed for minutes."""
    cleanups: int
    undecided: int
    outbox: int
    """Messages to be published, counted up to 100,000."""
    parked: int
    """Messages that the broker refused."""
