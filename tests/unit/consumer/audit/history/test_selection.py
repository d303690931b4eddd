"""What a filter lets through, of commands, events, dead letters, and records that nobody understands."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation_cancel.consumer.audit.history.facts import facts_of
from evaluation_cancel.consumer.audit.history.selection import Selection
from evaluation_cancel.consumer.audit.history.wording import describe, plain, title
from evaluation_cancel.schemas.wire.codec import encode_command, encode_event
from evaluation_cancel.schemas.wire.dead_letters import dead_letter
from evaluation_cancel.schemas.wire.records import EncodedRecord, RawRecord, UndecodableRecord
from tests.support.schemas.examples import ACCEPTED, CANCELLED, COMMAND, EVALUATION, envelope, record


def read(encoded: EncodedRecord) -> RawRecord:
    return record(encoded.value, tuple(encoded.headers), encoded.key)


def problem(of: RawRecord) -> UndecodableRecord:
    return UndecodableRecord(
        code="not_json", field="value", problem="is not JSON", topic=of.topic, partition=of.partition, offset=of.offset
    )


RECORDS = {
    "command": read(encode_command(envelope("CancelEvaluation"), COMMAND)),
    "accepted": read(encode_event(envelope("EvaluationCancelAccepted", sequence=7), ACCEPTED)),
    "cancelled": read(encode_event(envelope("EvaluationCancelled"), CANCELLED)),
    "bare": record(
        json.dumps({"evaluation_id": f"{{{EVALUATION}}}".upper(), "requested_by": {"id": "ada"}}).encode(), ()
    ),
    "noise": record(b"\xff\x00", (("x", None),)),
    "letter": read(dead_letter(record(b"\xff\x00", ()), problem(record()))),
}


def names(**asked: Any) -> set[str]:
    matches = Selection(**asked).matcher()
    return {name for name, found in RECORDS.items() if matches(found)}


def test_each_filter_lets_through_what_it_names() -> None:
    assert names() == set(RECORDS)
    assert names(evaluation=EVALUATION) == {"command", "accepted", "cancelled", "bare"}
    assert names(actor="ada") == {"command", "accepted", "cancelled", "bare"}
    assert names(team="team-7") == {"command", "accepted", "cancelled"}
    assert names(team="team-8") == set()
    assert names(types=frozenset({"DeadLetter"})) == {"letter"}
    assert names(types=frozenset({"EvaluationCancelled", "CancelEvaluation"})) == {"command", "cancelled", "bare"}
    assert names(decision="accepted") == {"accepted"}
    assert names(decision="rejected") == set()
    assert names(evaluation=EVALUATION, types=frozenset({"EvaluationCancelled"}), actor="bob") == set()


def test_time_begins_with_its_first_millisecond_and_ends_before_its_last() -> None:
    at = record().timestamp_ms
    assert names(since_ms=at) == names(before_ms=at + 1) == set(RECORDS)
    assert names(since_ms=at + 1) == names(before_ms=at) == set()


def test_a_bare_command_has_the_id_that_the_service_gives_it() -> None:
    facts = facts_of(RECORDS["bare"])
    assert facts.type == "CancelEvaluation"
    assert facts.id is not None
    assert facts.source == "urn:evaluation-cancel:bare"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("letter", "not_json: value is not JSON"),
        ("command", "by user ada: wrong model"),
        ("bare", "by ada"),
        ("noise", "no message of this system"),
    ],
)
def test_a_record_is_told_in_a_sentence(name: str, text: str) -> None:
    assert describe(facts_of(RECORDS[name])) == text


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "requested_by",
                    "team_ids",
                    "id",
                    "evidence",
                    "code",
                    "data",
                    "type",
                    "resolved_by",
                    "evaluation_id",
                    "reason",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(
    value=st.binary(max_size=20) | JSON.map(lambda v: json.dumps(v).encode()),
    headers=st.lists(
        st.tuples(
            st.sampled_from(["ce_type", "ce_id", "content-type", "dlq_code", "dlq_topic", "x"]),
            st.none()
            | st.sampled_from([b"application/cloudevents", b"ai.vijil.evaluations.v1.EvaluationCancelled", b"\xff"]),
        ),
        max_size=4,
    ),
)
def test_nothing_a_stranger_writes_breaks_filters_or_sentences(value: bytes, headers: Any) -> None:
    found = record(value, tuple(headers))
    facts = facts_of(found)
    for text in (title(facts), describe(facts)):
        assert text.isprintable() or text == ""
    Selection(team="a", actor="b", decision="c", evaluation=EVALUATION).matcher()(found)


@given(st.text())
def test_text_for_the_terminal_moves_no_cursor(text: str) -> None:
    assert plain(text).isprintable() or not text
    assert len(plain(text)) <= 400
