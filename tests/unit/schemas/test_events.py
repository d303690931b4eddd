from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evaluation_cancel.schemas.commands import CancelEvaluation, RequestedBy
from evaluation_cancel.schemas.events import (
    EVENT_TYPES,
    Actor,
    EvaluationArtifactsCleaned,
    EvaluationCancelled,
    Evidence,
    KeptArtifact,
    PodEnded,
    dead_letter_id,
    event_id,
)
from evaluation_cancel.schemas.wire.codec import decode_command, decode_event, encode_command, encode_event
from tests.support.schemas.examples import ACCEPTED, CANCELLED, EVALUATION, NOON, as_read, envelope

triples = st.tuples(st.text(max_size=5), st.text(max_size=5), st.text(max_size=5))


@given(triples, triples)
def test_event_ids_agree_only_for_the_same_cause(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assert (event_id(*one) == event_id(*other)) == (one == other)


def test_event_ids_stay_the_same_from_release_to_release() -> None:
    assert str(event_id("/reports/api", "command-1", "EvaluationCancelled")) == "53ba9aa6-d3ed-539d-8f16-63b2d35ed41c"
    assert str(dead_letter_id("commands", 3, 42)) == "cbc53726-2302-5474-8132-b3c56b675f56"


def test_text_moved_from_one_part_to_the_next_makes_another_id() -> None:
    assert event_id("ab", "c", "T") != event_id("a", "bc", "T")


def test_every_event_names_its_evaluation() -> None:
    assert all("evaluation_id" in event.model_fields for event in EVENT_TYPES.values())
    assert len(EVENT_TYPES) == 5


def test_times_are_told_in_utc() -> None:
    kyiv = datetime(2026, 11, 24, 14, tzinfo=timezone(timedelta(hours=2)))
    pod = PodEnded(name="pod", gone_at=kyiv)
    assert pod.gone_at.tzinfo is UTC
    assert '"gone_at":"2026-11-24T12:00:00Z"' in pod.model_dump_json()


@pytest.mark.parametrize("moment", [datetime(1969, 12, 31, tzinfo=UTC), datetime(2201, 1, 1, tzinfo=UTC)])
def test_a_time_far_off_is_refused(moment: datetime) -> None:
    with pytest.raises(ValidationError, match="years 1970 to 2200"):
        PodEnded(name="pod", gone_at=moment)


def test_a_time_without_an_offset_is_refused() -> None:
    with pytest.raises(ValidationError, match="no offset"):
        PodEnded(name="pod", gone_at=datetime(2026, 1, 1))  # noqa: DTZ001 - the point


def test_no_list_grows_without_bound() -> None:
    pods = tuple(PodEnded(name=f"pod-{number}", gone_at=NOON) for number in range(101))
    with pytest.raises(ValidationError, match="at most 100"):
        Evidence(job="uid", pods=pods, pod_count=101)


def test_what_was_accepted_is_told_again_when_it_is_cancelled() -> None:
    assert ACCEPTED.model_dump().items() <= CANCELLED.model_dump().items()


def test_the_largest_events_and_commands_can_still_be_read() -> None:
    name = "ж" * 256
    actor = Actor(kind="user", id=name)
    text = "\U0001f680" * 1024
    cancelled = EvaluationCancelled(
        **{**dict(ACCEPTED), "team_id": name, "requested_by": actor, "reason": text},
        command_ids=(name,) * 100,
        command_count=2**63 - 1,
        cancelled_at=NOON,
        evidence=Evidence(
            job=name, pods=(PodEnded(name=name, gone_at=NOON),) * 100, resolved_by=actor, resolve_reason=text
        ),
    )
    cleaned = EvaluationArtifactsCleaned(
        evaluation_id=EVALUATION,
        cancellation_id=EVALUATION,
        team_id=name,
        state="partial",
        kept=(KeptArtifact(key=text, why="request"),) * 100,
        failed_codes={f"{number:03}{'ж' * 254}": 2**63 - 1 for number in range(100)},
        finished_at=NOON,
    )
    for event in (cancelled, cleaned):
        encoded = encode_event(envelope(type(event).__name__), event)
        assert decode_event(as_read(encoded))[1] == event
    command = CancelEvaluation(
        evaluation_id=EVALUATION,
        requested_by=RequestedBy(kind="user", id=name, team_ids=("\x01" * 512,) * 100),
        reason=text,
    )
    assert decode_command(as_read(encode_command(envelope("CancelEvaluation"), command)))[1] == command
