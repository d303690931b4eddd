"""The table of answers, row by row, without a server."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation_cancel.producer.endpoint.answers import Answer, answer, is_decided, is_ended, outcome_unknown
from evaluation_cancel.producer.endpoint.store import CommandSeen
from tests.support.producer.rows import CANCELLATION, COMMAND, EVALUATION, asked, seen

ROWS = st.builds(
    seen,
    meaning=st.sampled_from([b"meaning", b"another"]),
    decision=st.sampled_from([None, "accepted", "joined", "rejected"]),
    code=st.sampled_from([None, "not_found", "forbidden", "already_cancelled", "already_completed", "expired"]),
    phase=st.sampled_from([None, "accepted", "stopping", "cancelled", "failed"]),
    last_error_code=st.sampled_from([None, "rbac_denied"]),
)


@given(ROWS, st.sampled_from([200, 202]))
def test_cancelled_is_said_only_when_it_is_recorded_for_a_command_that_was_not_refused(
    row: CommandSeen, slow_answer: int
) -> None:
    given_answer = answer(asked(), row, slow_answer=slow_answer)
    recorded = row.meaning == b"meaning" and row.decision in ("accepted", "joined") and row.phase == "cancelled"
    assert (given_answer.body.get("status") == "cancelled" and given_answer.status == 200) == recorded
    if slow_answer == 202:
        assert (given_answer.status == 200) == recorded


@given(ROWS)
def test_every_value_of_a_success_is_a_string(row: CommandSeen) -> None:
    given_answer = answer(asked(), row)
    if given_answer.status < 300:
        assert all(isinstance(value, str) for value in given_answer.body.values())


def test_the_200_has_just_the_two_fields_of_the_old_contract() -> None:
    given_answer = answer(asked(), seen(phase="cancelled"))
    assert given_answer == Answer(status=200, body={"status": "cancelled", "evaluation_id": str(EVALUATION)})


@pytest.mark.parametrize(("proven", "stop"), [(True, "proven"), (False, "presumed")])
def test_an_end_says_whether_it_was_seen_or_is_presumed(proven: bool, stop: str) -> None:
    assert answer(asked(), seen(phase="cancelled", stop_proven=proven)).body["stop"] == stop


@pytest.mark.parametrize("phase", ["accepted", "stopping"])
def test_still_stopping_is_202_with_the_way_back(phase: str) -> None:
    given_answer = answer(asked(preference_applied="wait=1"), seen(phase=phase))
    assert (given_answer.status, given_answer.body["status"]) == (202, "cancelling")
    assert given_answer.headers == {
        "Location": f"/v1/cancellations/{COMMAND}",
        "Retry-After": "5",
        "Preference-Applied": "wait=1",
    }


def test_the_slow_answer_for_old_clients_is_a_200_that_says_cancelling() -> None:
    given_answer = answer(asked(), seen(), slow_answer=200)
    assert given_answer.status == 200
    assert given_answer.body == {"status": "cancelling", "evaluation_id": str(EVALUATION)}


@pytest.mark.parametrize("row", [None, seen(decision=None, phase=None)])
def test_not_decided_is_202_submitted_with_the_key_to_ask_again(row: CommandSeen | None) -> None:
    given_answer = answer(asked(), row)
    assert (given_answer.status, given_answer.body["status"]) == (202, "submitted")
    assert given_answer.body["idempotency_key"] == "key-1"


def test_unknown_and_forbidden_are_the_same_to_the_byte() -> None:
    unknown = answer(asked(), seen(decision="rejected", code="not_found", status_seen=None, phase=None))
    forbidden = answer(asked(), seen(decision="rejected", code="forbidden", status_seen="running", phase=None))
    assert json.dumps(unknown.body) == json.dumps(forbidden.body)
    assert (unknown.status, unknown.headers) == (forbidden.status, forbidden.headers) == (404, {})


def test_a_refusal_says_when_and_by_which_cancellation() -> None:
    ended = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    row = seen(decision="rejected", code="already_cancelled", status_seen="cancelled", ended_seen=ended)
    given_answer = answer(asked(), row)
    assert given_answer.status == 400
    assert given_answer.body == {
        "detail": "The evaluation is already cancelled",
        "code": "already_cancelled",
        "status": "cancelled",
        "ended_at": "2026-01-02T03:04:05Z",
        "cancellation_id": str(CANCELLATION),
    }


def test_a_failed_cancellation_is_500_with_its_code_and_location() -> None:
    given_answer = answer(asked(), seen(phase="failed", last_error_code="rbac_denied"))
    assert (given_answer.status, given_answer.body["code"]) == (500, "rbac_denied")
    assert given_answer.headers["Location"].endswith(COMMAND)


def test_a_key_of_another_meaning_is_422_whatever_became_of_the_first() -> None:
    given_answer = answer(asked(), seen(meaning=b"another", phase="cancelled"))
    assert given_answer.status == 422
    assert given_answer.body["detail"][0]["type"] == "idempotency_key_reused"


def test_an_unknown_outcome_names_the_key_to_retry_with() -> None:
    given_answer = outcome_unknown("key-1")
    assert (given_answer.status, given_answer.body["idempotency_key"]) == (503, "key-1")
    assert "not known" in given_answer.body["detail"]
    assert given_answer.headers["Retry-After"]


def test_ended_is_more_than_decided() -> None:
    assert is_decided(seen())
    assert not is_ended(seen())
    assert is_ended(seen(phase="failed"))
    assert is_ended(seen(decision="rejected", phase=None))
    # The cancellation that an earlier command brought about is not this one's.
    assert not is_decided(seen(decision=None))
