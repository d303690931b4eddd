"""The rules that accept, join or reject a command; pure, without I/O or clocks.

`decide_command` applies them to one command and its evaluation as seen under the row lock. Audit repeats past decisions
with the version of the rules that is recorded beside each. `intake/decide.py` writes the decisions.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from evaluation_cancel.schemas.teams import canonical_team

DECISION_VERSION: Final = 2
"""Recorded with every decision. To change the rules, add a new version and keep the old one."""

FINAL_STATUSES: Final = frozenset({"succeeded", "failed", "cancelled"})

UNKNOWN_STATUS: Final = "unknown"
"""A word of the evaluations table that the setting EVALUATIONS_TABLE does not map."""

RejectionCode = Literal["not_found", "forbidden", "expired", "already_completed", "already_cancelled", "unknown_status"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationSeen:
    """An evaluation as it stood while its row was locked, with its fence."""

    team_id: str
    status: str
    cluster: str | None = None
    """The cluster of its Job; None until the orchestrator records it."""
    ended_at: datetime | None = None
    open_cancellation: UUID | None = None
    """The fence: the cancellation that is open, if there is one."""
    ended_by: UUID | None = None
    """The cancellation that ended it, when the status is cancelled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """The parts of a command that its decision depends on."""

    team_ids: AbstractSet[str]
    every_team: bool = False
    """The command's source may act for all teams. Only settings grant this, never a message."""
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """The command opens a cancellation, which raises the fence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Joined:
    """A cancellation is open already; the command shares its outcome."""

    cancellation_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """Rejected, with what the requester may know. `not_found` and `forbidden` reveal nothing about the evaluation."""

    code: RejectionCode
    status: str | None = None
    ended_at: datetime | None = None
    cancellation_id: UUID | None = None


Decision = Accepted | Joined | Rejected

_ACCEPTED: Final = Accepted()
_NOT_FOUND: Final = Rejected(code="not_found")
_FORBIDDEN: Final = Rejected(code="forbidden")
_EXPIRED: Final = Rejected(code="expired")
_UNKNOWN_STATUS: Final = Rejected(code="unknown_status")


def decide_command_v1(asked: Asked, seen: EvaluationSeen | None, now: datetime) -> Decision:
    """The rules before teams had spellings: only the very text of the evaluation's team counted."""
    stranger = seen is not None and not asked.every_team and seen.team_id not in asked.team_ids
    return _FORBIDDEN if stranger else decide_command(asked, seen, now)


def decide_command(asked: Asked, seen: EvaluationSeen | None, now: datetime) -> Decision:
    """The decision on one command; `now` is the database's time of the transaction that decides.

    Access is checked first, so that a requester without access learns nothing about the evaluation. Expiry is checked
    before the status: an expired command is rejected as `expired` in any status. An unknown status is rejected: the
    evaluation may be over, and what would be written could be wrong.
    """
    if seen is None:
        return _NOT_FOUND
    if not asked.every_team and canonical_team(seen.team_id) not in map(canonical_team, asked.team_ids):
        return _FORBIDDEN
    if asked.expires_at is not None and asked.expires_at <= now:
        return _EXPIRED
    if seen.status in FINAL_STATUSES:
        cancelled = seen.status == "cancelled"
        return Rejected(
            code="already_cancelled" if cancelled else "already_completed",
            status=seen.status,
            ended_at=seen.ended_at,
            cancellation_id=seen.ended_by if cancelled else None,
        )
    if seen.open_cancellation is not None:
        return Joined(cancellation_id=seen.open_cancellation)
    return _UNKNOWN_STATUS if seen.status == UNKNOWN_STATUS else _ACCEPTED
