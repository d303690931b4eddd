"""Decides history again: the decision function of the recorded version, over what it saw then.

A version that is no longer known cannot be checked, and that is said. A new version of the rules is added beside the
old ones here, never in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from evaluation_cancel.consumer.domain.decisions import (
    Accepted,
    Asked,
    Decision,
    EvaluationSeen,
    Joined,
    Rejected,
    decide_command,
)

Decide = Callable[[Asked, EvaluationSeen | None, datetime], Decision]
VERSIONS: Final[Mapping[int, Decide]] = {1: decide_command}


def contradiction(row: Mapping[str, Any]) -> str | None:
    """What is wrong with the decision of an inbox row, in words; None when it is decided the same again."""
    version = row["decision_version"]
    if version not in VERSIONS:
        return f"was decided by version {version} of the rules, which is not known here"
    asked = Asked(
        team_ids=frozenset(orjson.loads(row["team_ids"])),
        every_team=row["every_team"],
        expires_at=row["expires_at"],
    )
    again = _told(VERSIONS[version](asked, _seen(row), row["decided_at"]), row["cancellation_id"])
    recorded = (row["decision"], row["code"], row["cancellation_id"])
    if again == recorded:
        return None
    return f"is recorded as {_words(recorded)}, and decided again is {_words(again)}"


def _seen(row: Mapping[str, Any]) -> EvaluationSeen | None:
    if row["team_seen"] is None:
        return None
    ended = row["status_seen"] == "cancelled"
    return EvaluationSeen(
        team_id=row["team_seen"],
        status=row["status_seen"],
        ended_at=row["ended_seen"],
        open_cancellation=None if ended else row["fence_seen"],
        ended_by=row["fence_seen"] if ended else None,
    )


def _told(decision: Decision, opened: UUID | None) -> tuple[str, str | None, UUID | None]:
    """As the inbox keeps it. Which cancellation an acceptance opens is no matter of the rules, but it must name one."""
    match decision:
        case Accepted():
            return ("accepted", None, opened or UUID(int=0))
        case Joined(cancellation_id=fence):
            return ("joined", None, fence)
        case Rejected(code=code, cancellation_id=ended_by):
            return ("rejected", code, ended_by)


def _words(decision: tuple[str, str | None, UUID | None]) -> str:
    return " ".join(str(part) for part in decision if part is not None)
