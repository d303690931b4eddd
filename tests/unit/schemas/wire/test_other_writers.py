"""Commands as other SDKs, bridges and header mappers write them are read with their sender's id and source."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evaluation_cancel.schemas.wire.codec import UndecodableRecord, decode_command
from evaluation_cancel.schemas.wire.records import RawRecord
from tests.support.schemas.examples import COMMAND_TYPE, DATA, HEADERS, record
from tests.support.schemas.undecodable import STRUCTURED

CE = {name: raw for name, raw in HEADERS.items() if name.startswith("ce_")}
OTHERS = {name: raw for name, raw in HEADERS.items() if not name.startswith("ce_")}


def respelled(prefix: str, *, upper: bool = False) -> RawRecord:
    names = {prefix + name[3:]: raw for name, raw in CE.items()}
    return record(headers=OTHERS | {(n.upper() if upper else n): raw for n, raw in names.items()})


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(respelled("ce-"), id="HTTP's prefix"),
        pytest.param(respelled("ce_", upper=True), id="in capitals"),
        pytest.param(respelled("Ce-"), id="as HTTP headers are printed"),
        pytest.param(respelled("cloudEvents:"), id="AMQP's prefix"),
        pytest.param(respelled("cloudEvents_"), id="AMQP's other prefix"),
    ],
)
def test_every_known_spelling_of_the_headers_is_read(raw: RawRecord) -> None:
    expected, _ = decode_command(record(headers=HEADERS))
    assert decode_command(raw)[0] == expected


def test_the_same_attribute_in_two_spellings_is_read_if_they_agree() -> None:
    received, _ = decode_command(record(headers=HEADERS | {"ce-id": HEADERS["ce_id"]}))
    assert received.id == HEADERS["ce_id"].decode()


def test_texts_that_spring_wrote_as_json_are_read() -> None:
    quoted = {name: json.dumps(raw.decode()).encode() for name, raw in HEADERS.items()}
    expected, _ = decode_command(record(headers=HEADERS))
    assert decode_command(record(headers=quoted))[0] == expected


def test_quotes_are_part_of_an_id_where_the_version_has_none() -> None:
    assert decode_command(record(headers=HEADERS | {"ce_id": b'"7"'}))[0].id == '"7"'


@pytest.mark.parametrize(
    "content_type",
    [None, b"application/json", b"application/json; charset=utf-8", b"text/plain", b'"application/json"'],
)
def test_a_structured_event_is_known_by_its_value(content_type: bytes | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    received, command = decode_command(record(STRUCTURED, headers))
    assert (received.id, received.source, received.type) == ("command-2", "/sdk", COMMAND_TYPE)
    assert str(command.evaluation_id) == DATA["evaluation_id"]


def test_headers_make_a_record_binary_whatever_its_value_holds() -> None:
    received, _ = decode_command(record(DATA | {"specversion": "1.0", "id": "inner"}))
    assert received.id == HEADERS["ce_id"].decode()


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("region", b"\xff"),
        ("region", b"x" * 100_000),
        ("\x00", b"\x00"),
        ("blob", None),
    ],
)
def test_an_extension_that_means_nothing_here_is_passed_over(name: str, raw: bytes | None) -> None:
    received, _ = decode_command(record(headers=HEADERS | {f"ce_{name}": raw}))
    assert (received.id, received.dropped) == (HEADERS["ce_id"].decode(), ())


@pytest.mark.parametrize("value", ["x" * 100_000, {"a": 1}, [1], 1.5, "\x00"])
def test_a_structured_extension_of_any_kind_is_passed_over(value: Any) -> None:
    received, _ = decode_command(record(STRUCTURED | {"region": value, "\x00": []}, {}))
    assert (received.id, received.dropped) == ("command-2", ())


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("time", b"1764244800000"),
        ("time", b"yesterday"),
        ("time", b"2026-11-24T12:00:00"),
        ("time", b"2026-W48-2T12:00:00Z"),
        ("time", b"2026-13-01T12:00:00Z"),
        ("time", "٢٠٢٦-11-24T12:00:00Z".encode()),
        ("time", b"2026-11-24T12:00:00+24:00"),
        ("time", b"0001-01-01T00:00:00+14:00"),
        ("time", b"1970-01-01T00:00:00+00:01"),
        ("sequence", b"9223372036854775808"),
        ("sequence", b"9" * 500),
        ("sequence", b"-1"),
        ("subject", b"s" * 600),
        ("correlationid", b"\xff"),
        ("dataschema", b"a\x00b"),
    ],
)
def test_an_optional_attribute_that_cannot_be_read_is_dropped_and_named(name: str, raw: bytes) -> None:
    received, _ = decode_command(record(headers=HEADERS | {f"ce_{name}": raw}))
    assert received.dropped == (name,)
    assert getattr(received, name) is None
    assert received.id == HEADERS["ce_id"].decode()


@pytest.mark.parametrize(("name", "value"), [("time", 1764244800000), ("sequence", 2**63), ("subject", ["x"])])
def test_the_same_holds_for_a_structured_event(name: str, value: Any) -> None:
    received, _ = decode_command(record(STRUCTURED | {name: value}, {}))
    assert (received.id, received.dropped) == ("command-2", (name,))


def test_a_wrong_type_is_told_with_the_right_one() -> None:
    with pytest.raises(UndecodableRecord) as raised:
        decode_command(record(headers=HEADERS | {"ce_type": b"CancelEvaluation"}))
    assert raised.value.problem == f"is 'CancelEvaluation'; on this topic belongs {COMMAND_TYPE}"
