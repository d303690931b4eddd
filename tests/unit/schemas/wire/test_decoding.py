"""What is read, in every form a stranger may write it."""

import base64
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from evaluation_cancel.schemas.wire.codec import (
    BARE_SOURCE,
    UndecodableRecord,
    decode_command,
    decode_event,
    encode_event,
)
from tests.support.schemas.examples import (
    ACCEPTED,
    COMMAND,
    COMMAND_TYPE,
    DATA,
    EVALUATION,
    HEADERS,
    as_read,
    envelope,
    record,
)

STRUCTURED = {"specversion": "1.0", "id": "command-2", "source": "/sdk", "type": COMMAND_TYPE, "data": DATA}
CLOUD_EVENT = {"content-type": b"application/cloudevents+json"}


def test_binary_mode_is_read() -> None:
    received, command = decode_command(record())
    assert command == COMMAND
    assert (received.id, received.source, received.type) == ("command-1", "/tests", COMMAND_TYPE)
    assert received.time is None


@pytest.mark.parametrize(
    "content_type",
    [b"application/cloudevents+json", b"Application/CloudEvents+JSON; charset=UTF-8", b"application/cloudevents"],
)
def test_structured_mode_is_read_whatever_the_case_of_its_content_type(content_type: bytes) -> None:
    received, command = decode_command(record(STRUCTURED, {"content-type": content_type}))
    assert (received.id, received.source, command) == ("command-2", "/sdk", COMMAND)


def test_the_name_of_the_content_type_header_may_be_in_any_case() -> None:
    assert decode_command(record(STRUCTURED, {"Content-Type": b"application/cloudevents+json"}))[0].id == "command-2"


def test_a_structured_value_wins_over_headers_beside_it() -> None:
    received, _ = decode_command(record(STRUCTURED, HEADERS | CLOUD_EVENT | {"ce_sequence": b"not a number"}))
    assert (received.id, received.source, received.sequence) == ("command-2", "/sdk", None)


def test_structured_data_may_be_base64() -> None:
    data = base64.b64encode(json.dumps(DATA).encode()).decode()
    value = {name: text for name, text in STRUCTURED.items() if name != "data"} | {"data_base64": data}
    assert decode_command(record(value, CLOUD_EVENT))[1] == COMMAND


def test_structured_extensions_may_be_numbers_and_null() -> None:
    value = STRUCTURED | {"sequence": 7, "correlationid": None, "retried": True}
    received, _ = decode_command(record(value, CLOUD_EVENT))
    assert (received.sequence, received.correlationid) == (7, None)


def test_a_bare_value_is_a_command_named_by_its_position() -> None:
    first, command = decode_command(record(headers={}))
    again, _ = decode_command(record(headers={"x-note": b"\xff"}))
    assert command == COMMAND
    assert first.source == BARE_SOURCE
    assert first.id == again.id == str(UUID(first.id))


def test_a_bare_value_may_name_itself() -> None:
    assert decode_command(record(DATA | {"id": "from-a-shell"}, {}))[0].id == "from-a-shell"


def test_a_bare_value_is_refused_where_settings_say_so() -> None:
    with pytest.raises(UndecodableRecord) as caught:
        decode_command(record(headers={}), accept_bare=False)
    assert (caught.value.code, caught.value.field) == ("missing_field", "ce_specversion")


def test_a_trace_alone_does_not_make_a_bare_value_a_cloud_event() -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    received, _ = decode_command(record(headers={"traceparent": trace.encode()}))
    assert received.traceparent == trace


@pytest.mark.parametrize("headers", [HEADERS, {}], ids=["binary", "bare"])
def test_a_confluent_prefix_before_json_is_skipped(headers: dict[str, bytes]) -> None:
    value = b"\x00\x00\x00\x00\x2a" + json.dumps(DATA).encode()
    assert decode_command(record(value, headers))[1] == COMMAND


@pytest.mark.parametrize(
    "spelling",
    [
        "{3f1c9a52-7d0e-4c1b-9f6a-0d2b8c4e5a61}",
        "urn:uuid:3f1c9a52-7d0e-4c1b-9f6a-0d2b8c4e5a61",
        "3f1c9a527d0e4c1b9f6a0d2b8c4e5a61",
        "3F1C9A52-7D0E-4C1B-9F6A-0D2B8C4E5A61",
    ],
)
def test_every_spelling_of_an_evaluation_id_is_one_evaluation(spelling: str) -> None:
    _, command = decode_command(record(DATA | {"evaluation_id": spelling}, key=str(EVALUATION).encode()))
    assert command.evaluation_id == EVALUATION
    _, command = decode_command(record(key=spelling.encode()))
    assert str(command.evaluation_id) == str(EVALUATION)


def test_unknown_fields_and_headers_are_ignored() -> None:
    data = DATA | {"priority": 2**63, "requested_by": DATA["requested_by"] | {"mood": None}}
    headers = HEADERS | {"ce_region": b"eu", "b3": b"\xff\xfe", "Größe".encode().decode(): b"1"}
    assert decode_command(record(data, headers))[1] == COMMAND


def test_an_absent_value_of_a_foreign_header_is_ignored() -> None:
    assert decode_command(record(headers=(*HEADERS.items(), ("x-empty", None))))[1] == COMMAND


def test_teams_may_be_left_out_by_a_source_that_needs_none() -> None:
    _, command = decode_command(record(DATA | {"requested_by": {"kind": "service", "id": "janitor"}}))
    assert command.requested_by.team_ids == ()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-11-24T12:00:00Z", datetime(2026, 11, 24, 12, tzinfo=UTC)),
        ("2026-11-24t12:00:00.123456789z", datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)),
        ("2026-11-24T14:00:00+02:00", datetime(2026, 11, 24, 12, tzinfo=UTC)),
    ],
)
def test_every_spelling_of_a_time_is_read_as_utc(written: str, meant: datetime) -> None:
    received, _ = decode_command(record(headers=HEADERS | {"ce_expirytime": written.encode()}))
    assert received.expirytime == meant


@pytest.mark.parametrize("trace", [b"nonsense", b"00-" + b"A" * 32 + b"-" + b"b" * 16 + b"-01"])
def test_a_broken_trace_costs_nobody_a_command(trace: bytes) -> None:
    assert decode_command(record(headers=HEADERS | {"traceparent": trace}))[0].traceparent is None


def test_an_event_on_the_commands_topic_is_of_unknown_type() -> None:
    encoded = encode_event(envelope("EvaluationCancelAccepted"), ACCEPTED)
    with pytest.raises(UndecodableRecord, match="unknown_type"):
        decode_command(as_read(encoded))


def test_a_command_on_the_events_topic_is_of_unknown_type() -> None:
    with pytest.raises(UndecodableRecord, match="unknown_type"):
        decode_event(record())


def test_an_event_is_never_bare() -> None:
    with pytest.raises(UndecodableRecord, match="not a CloudEvent"):
        decode_event(record(ACCEPTED.model_dump(mode="json"), {}))


def test_a_newer_event_keeps_parsing() -> None:
    encoded = encode_event(envelope("EvaluationCancelAccepted"), ACCEPTED)
    assert encoded.value is not None
    data: dict[str, Any] = json.loads(encoded.value) | {"added_later": {"deep": [1]}}
    newer = record(data, tuple(encoded.headers), encoded.key)
    assert decode_event(newer)[1] == ACCEPTED
