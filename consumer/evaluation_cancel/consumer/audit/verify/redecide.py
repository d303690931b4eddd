"""Repeats recorded decisions: runs the rules of the recorded version on the facts that the decision saw.

A decision of an unknown version cannot be repeated and is reported. When the rules change, keep the old version in
`VERSIONS` beside the new one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

import orjson

from evaluation_cancel.consumer.domain.audit_rows import CommandRow
from evaluation_cancel.consumer.domain.decisions import (
    Accepted,
    Asked,
    Decision,
    EvaluationSeen,
    Joined,
    Rejected,
    decide_command,
    decide_command_v1,
)

Decide = Callable[[Asked, EvaluationSeen | None, datetime], Decision]
VERSIONS: Final[Mapping[int, Decide]] = {1: decide_command_v1, 2: decide_command}


def contradiction(row: CommandRow) -> str | None:
    """Describe how a row's decision differs from the repeated one; None if they are the same."""
    if row.decided_at is None:
        return "has a decision without its time"
    decide = None if row.decision_version is None else VERSIONS.get(row.decision_version)
    if decide is None:
        return f"was decided by version {row.decision_version} of the rules, which is not known here"
    requested = Asked(
        team_ids=frozenset(orjson.loads(row.team_ids)), every_team=row.every_team, expires_at=row.expires_at
    )
    repeated = _columns(decide(requested, _seen(row), row.decided_at), row.cancellation_id)
    recorded = (row.decision, row.code, row.cancellation_id)
    if repeated == recorded:
        return None
    return f"is recorded as {_words(recorded)}, and decided again is {_words(repeated)}"


def _seen(row: CommandRow) -> EvaluationSeen | None:
    if row.team_seen is None or row.status_seen is None:
        return None
    ended = row.status_seen == "cancelled"
    return EvaluationSeen(
        team_id=row.team_seen,
        status=row.status_seen,
        ended_at=row.ended_seen,
        open_cancellation=None if ended else row.fence_seen,
        ended_by=row.fence_seen if ended else None,
    )


def _columns(decision: Decision, opened: UUID | None) -> tuple[str, str | None, UUID | None]:
    """A decision as the inbox stores it. Rules do not choose the id of an opened cancellation, but it must be set."""
    match decision:
        case Accepted():
            return ("accepted", None, opened or UUID(int=0))
        case Joined(cancellation_id=fence):
            return ("joined", None, fence)
        case Rejected(code=code, cancellation_id=ended_by):
            return ("rejected", code, ended_by)


def _words(decision: tuple[str | None, str | None, UUID | None]) -> str:
    return " ".join(str(part) for part in decision if part is not None)
