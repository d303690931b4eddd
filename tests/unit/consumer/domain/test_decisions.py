from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation_cancel.consumer.domain.decisions import (
    FINAL_STATUSES,
    Accepted,
    Asked,
    EvaluationSeen,
    Joined,
    Rejected,
    decide_command,
    decide_command_v1,
)
from tests.support.consumer.commands import NOW

OPEN, ENDED_BY = uuid4(), uuid4()
MINE = Asked(team_ids=frozenset({"blue"}))


def seen(status: str = "running", *, team: str = "blue", fence: UUID | None = None) -> EvaluationSeen:
    final = status in FINAL_STATUSES
    return EvaluationSeen(
        team_id=team,
        status=status,
        ended_at=NOW if final else None,
        open_cancellation=fence,
        ended_by=ENDED_BY if status == "cancelled" else None,
    )


@pytest.mark.parametrize("status", ["created", "starting", "running"])
def test_an_evaluation_that_is_not_final_is_cancelled(status: str) -> None:
    assert decide_command(MINE, seen(status), NOW) == Accepted()


@pytest.mark.parametrize("status", ["created", "starting", "running"])
def test_a_command_joins_the_cancellation_that_is_under_way(status: str) -> None:
    assert decide_command(MINE, seen(status, fence=OPEN), NOW) == Joined(cancellation_id=OPEN)


def test_there_is_nothing_to_cancel_where_there_is_no_evaluation() -> None:
    assert decide_command(MINE, None, NOW) == Rejected(code="not_found")


@pytest.mark.parametrize("status", ["created", "running", "succeeded", "cancelled"])
def test_a_requester_of_another_team_learns_nothing_in_any_status(status: str) -> None:
    assert decide_command(MINE, seen(status, team="red"), NOW) == Rejected(code="forbidden")


@pytest.mark.parametrize("status", ["succeeded", "failed"])
def test_a_completed_evaluation_is_not_cancelled_and_the_rejection_says_when_it_ended(status: str) -> None:
    expected = Rejected(code="already_completed", status=status, ended_at=NOW)
    assert decide_command(MINE, seen(status), NOW) == expected


def test_a_cancelled_evaluation_names_its_cancellation() -> None:
    expected = Rejected(code="already_cancelled", status="cancelled", ended_at=NOW, cancellation_id=ENDED_BY)
    assert decide_command(MINE, seen("cancelled"), NOW) == expected


def test_an_expired_command_is_rejected_in_any_status() -> None:
    late = Asked(team_ids=frozenset({"blue"}), expires_at=NOW)
    for status in ("running", "succeeded", "cancelled"):
        assert decide_command(late, seen(status), NOW) == Rejected(code="expired")


def test_a_command_is_alive_until_the_moment_it_expires() -> None:
    in_time = Asked(team_ids=frozenset({"blue"}), expires_at=NOW + timedelta(microseconds=1))
    assert decide_command(in_time, seen(), NOW) == Accepted()


def test_a_requester_of_another_team_does_not_learn_that_the_command_expired() -> None:
    late = Asked(team_ids=frozenset({"red"}), expires_at=NOW - timedelta(days=1))
    assert decide_command(late, seen(), NOW) == Rejected(code="forbidden")


def test_a_source_trusted_with_every_team_cancels_for_any() -> None:
    assert decide_command(Asked(team_ids=frozenset(), every_team=True), seen(team="red"), NOW) == Accepted()


statuses = st.sampled_from(["created", "starting", "running", "succeeded", "failed", "cancelled"])
teams = st.sampled_from(["blue", "red", ""])


@given(
    asked=st.builds(
        Asked, team_ids=st.frozensets(teams), every_team=st.booleans(), expires_at=st.none() | st.just(NOW)
    ),
    evaluation=st.none() | st.builds(seen, statuses, team=teams, fence=st.none() | st.just(OPEN)),
)
def test_only_a_requester_with_access_learns_anything_and_only_an_open_evaluation_is_cancelled(
    asked: Asked, evaluation: EvaluationSeen | None
) -> None:
    decision = decide_command(asked, evaluation, NOW)
    may = evaluation is not None and (asked.every_team or evaluation.team_id in asked.team_ids)
    if not may:
        assert isinstance(decision, Rejected)
        assert (decision.status, decision.ended_at, decision.cancellation_id) == (None, None, None)
    if isinstance(decision, Accepted | Joined):
        assert evaluation is not None
        assert evaluation.status not in FINAL_STATUSES
        assert isinstance(decision, Joined) == (evaluation.open_cancellation is not None)


@pytest.mark.parametrize("written", ["team_0190b0c000007000800000000000000a", "0190B0C0-0000-7000-8000-00000000000A"])
def test_a_team_that_is_a_uuid_is_the_same_however_it_is_spelled(written: str) -> None:
    seen = EvaluationSeen(team_id="0190b0c0-0000-7000-8000-00000000000a", status="running")
    asked = Asked(team_ids=frozenset({"blue", written}))
    assert decide_command(asked, seen, NOW) == Accepted()
    assert decide_command_v1(asked, seen, NOW) == Rejected(code="forbidden")


def test_an_unknown_status_is_rejected_unless_a_cancellation_is_open() -> None:
    asked = Asked(team_ids=frozenset({"blue"}))
    assert decide_command(asked, EvaluationSeen(team_id="blue", status="unknown"), NOW) == Rejected(
        code="unknown_status"
    )
    fenced = EvaluationSeen(team_id="blue", status="unknown", open_cancellation=UUID(int=1))
    assert decide_command(asked, fenced, NOW) == Joined(cancellation_id=UUID(int=1))
