"""What a command means for an evaluation: the pure rules, without I/O, clocks or client libraries.

`decide` judges one command against what was seen of its evaluation under its row lock. The same function, in the
version recorded beside each decision, decides history again for audit. Writing decisions down is `intake/decide.py`.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

DECISION_VERSION: Final = 1
"""Recorded with every decision. A change of the rules below is a new version beside the old one."""

FINAL_STATUSES: Final = frozenset({"succeeded", "failed", "cancelled"})

RejectionCode = Literal["not_found", "forbidden", "expired", "already_completed", "already_cancelled"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationSeen:
    """An evaluation as it stood while its row was locked, with its fence."""

    team_id: str
    status: str
    cluster: str | None = None
    """Where its Job is, once the orchestrator has said so."""
    ended_at: datetime | None = None
    open_cancellation: UUID | None = None
    """The fence: the cancellation that is under way, if one is."""
    ended_by: UUID | None = None
    """The cancellation that ended it, when the status is cancelled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What of a command its decision depends on."""

    team_ids: AbstractSet[str]
    every_team: bool = False
    """The command's source may act for all teams; settings say which sources may, a message never does."""
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """A new cancellation begins, and with it the fence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Joined:
    """One is under way already; this command shares its outcome."""

    cancellation_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """Refused, with what the asker may know of why. `not_found` and `forbidden` tell nothing of the evaluation."""

    code: RejectionCode
    status: str | None = None
    ended_at: datetime | None = None
    cancellation_id: UUID | None = None


Decision = Accepted | Joined | Rejected

_ACCEPTED: Final = Accepted()
_NOT_FOUND: Final = Rejected(code="not_found")
_FORBIDDEN: Final = Rejected(code="forbidden")
_EXPIRED: Final = Rejected(code="expired")


def decide(asked: Asked, seen: EvaluationSeen | None, now: datetime) -> Decision:
    """The decision on one command; `now` is the database's time of the transaction that decides.

    Who may not see an evaluation learns nothing of it, so access is judged before anything else, and a command
    that came too late is dead whatever the status.
    """
    if seen is None:
        return _NOT_FOUND
    if not asked.every_team and seen.team_id not in asked.team_ids:
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
    return _ACCEPTED
