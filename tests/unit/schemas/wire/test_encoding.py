from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation_cancel.schemas.wire.codec import decode_command, decode_event, encode_command, encode_event
from tests.support.schemas.examples import ACCEPTED, CANCELLED, COMMAND, EVALUATION, NOON, as_read, envelope

identifiers = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=128)
everything: dict[str, Any] = {
    "time": NOON,
    "subject": str(EVALUATION),
    "dataschema": "urn:vijil:evaluations:v1:EvaluationCancelled",
    "partitionkey": str(EVALUATION),
    "correlationid": "nightly-42",
    "causationid": "command-1",
    "cancellationid": "cancellation-1",
    "sequence": 2**63 - 1,
    "expirytime": NOON,
    "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
}


def test_an_event_comes_back_as_it_went() -> None:
    sent = envelope("EvaluationCancelled", **everything)
    assert decode_event(as_read(encode_event(sent, CANCELLED))) == (sent, CANCELLED)


def test_headers_stand_in_one_order() -> None:
    encoded = encode_event(envelope("EvaluationCancelled", **everything), CANCELLED)
    assert [name for name, _ in encoded.headers] == [
        *("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_partitionkey", "ce_time"),
        *("ce_dataschema", "content-type", "ce_correlationid", "ce_causationid", "ce_cancellationid"),
        *("ce_sequence", "ce_expirytime", "traceparent"),
    ]
    assert dict(encoded.headers)["ce_time"] == b"2026-11-24T12:00:00Z"


def test_the_evaluation_is_key_subject_and_partition_key() -> None:
    encoded = encode_event(envelope("EvaluationCancelAccepted"), ACCEPTED)
    evaluation = str(EVALUATION).encode()
    headers = dict(encoded.headers)
    assert (encoded.key, headers["ce_subject"], headers["ce_partitionkey"]) == (evaluation,) * 3


def test_what_is_unknown_has_no_header() -> None:
    encoded = encode_event(envelope("EvaluationCancelAccepted"), ACCEPTED)
    assert len(encoded.headers) == 7


def test_times_leave_in_utc() -> None:
    kyiv = datetime(2026, 11, 24, 14, tzinfo=timezone(timedelta(hours=2)))
    encoded = encode_command(envelope("CancelEvaluation", time=kyiv), COMMAND)
    assert dict(encoded.headers)["ce_time"] == b"2026-11-24T12:00:00Z"


@given(
    id=identifiers,
    source=identifiers,
    reason=st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
)
def test_any_command_comes_back_as_it_went(id: str, source: str, reason: str) -> None:  # noqa: A002
    sent = envelope("CancelEvaluation", id=id, source=source, subject=str(EVALUATION), partitionkey=str(EVALUATION))
    command = COMMAND.model_copy(update={"reason": reason})
    assert decode_command(as_read(encode_command(sent, command))) == (sent, command)


@pytest.mark.parametrize("name", ["correlationid", "causationid", "cancellationid"])
def test_an_extension_of_foreign_script_survives(name: str) -> None:
    sent = envelope("CancelEvaluation", **{name: "скасування"})
    received, _ = decode_command(as_read(encode_command(sent, COMMAND)))
    assert getattr(received, name) == "скасування"
