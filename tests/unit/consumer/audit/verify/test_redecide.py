"""History decided again: what is recorded stands, and any contradiction is told."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation_cancel.consumer.audit.verify.redecide import VERSIONS, contradiction
from evaluation_cancel.consumer.domain.audit_rows import CommandRow
from evaluation_cancel.consumer.domain.decisions import (
    DECISION_VERSION,
    FINAL_STATUSES,
    Accepted,
    Asked,
    EvaluationSeen,
    Joined,
    decide_command,
)

NOW = datetime(2026, 11, 24, tzinfo=UTC)
FENCE, OPENED = UUID(int=1), UUID(int=2)
STATUSES = ("created", "starting", "running", *sorted(FINAL_STATUSES))


def row(**changes: Any) -> CommandRow:
    """An acceptance."""
    columns = {
        **dict.fromkeys(field.name for field in fields(CommandRow)),
        "decision_version": DECISION_VERSION,
        "team_ids": '["a", "b"]',
        "every_team": False,
        "expires_at": None,
        "decided_at": NOW,
        "team_seen": "a",
        "status_seen": "running",
        "ended_seen": None,
        "fence_seen": None,
        "decision": "accepted",
        "code": None,
        "cancellation_id": OPENED,
        **changes,
    }
    return CommandRow(**columns)


@given(
    teams=st.sets(st.sampled_from("abc")),
    every_team=st.booleans(),
    expires=st.sampled_from([None, -1, 0, 1]),
    seen=st.none() | st.tuples(st.sampled_from(STATUSES), st.booleans()),
)
def test_whatever_was_decided_is_decided_the_same_again(
    teams: set[str], every_team: bool, expires: int | None, seen: tuple[str, bool] | None
) -> None:
    expires_at = None if expires is None else NOW + timedelta(seconds=expires)
    fence = (
        FENCE
        if seen is not None and (seen[1] or seen[0] == "cancelled") and seen[0] not in ("succeeded", "failed")
        else None
    )
    evaluation = None
    if seen is not None:
        which = {"ended_by" if seen[0] == "cancelled" else "open_cancellation": fence}
        evaluation = EvaluationSeen(team_id="a", status=seen[0], **which)
    decision = decide_command(Asked(team_ids=teams, every_team=every_team, expires_at=expires_at), evaluation, NOW)
    told = {
        "decision": "accepted"
        if isinstance(decision, Accepted)
        else "joined"
        if isinstance(decision, Joined)
        else "rejected",
        "code": getattr(decision, "code", None),
        "cancellation_id": OPENED if isinstance(decision, Accepted) else decision.cancellation_id,
    }
    recorded = row(
        team_ids=json.dumps(sorted(teams)),
        every_team=every_team,
        expires_at=expires_at,
        team_seen=None if seen is None else "a",
        status_seen=None if seen is None else seen[0],
        fence_seen=fence,
        **told,
    )
    assert contradiction(recorded) is None


@pytest.mark.parametrize(
    "change",
    [
        {"decision": "rejected", "code": "expired", "cancellation_id": None},
        {"team_ids": "[]"},
        {"team_seen": "c"},
        {"team_seen": None},
        {"status_seen": "succeeded"},
        {"fence_seen": FENCE},
        {"expires_at": NOW},
        {"cancellation_id": None},
        {"code": "forbidden"},
        {"decision_version": 99},
        {"decision_version": None},
        {"decided_at": None},
        {"status_seen": None},
    ],
)
def test_a_decision_that_the_rules_do_not_give_is_told(change: dict[str, Any]) -> None:
    assert contradiction(row()) is None
    assert contradiction(row(**change)) is not None


def test_the_version_that_decides_now_can_be_decided_again() -> None:
    assert DECISION_VERSION in VERSIONS
