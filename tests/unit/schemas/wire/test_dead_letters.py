import base64
import json
from hashlib import sha256

import pytest

from evaluation_cancel.schemas.topics import DEAD_LETTER_MARGIN_BYTES, MAX_MESSAGE_BYTES
from evaluation_cancel.schemas.wire.codec import EncodedRecord, UndecodableRecord, dead_letter, decode_command
from evaluation_cancel.schemas.wire.records import KEPT_BYTES, MAX_VALUE_BYTES, RawRecord
from tests.support.schemas.examples import HEADERS, record


def letter_of(raw: RawRecord) -> EncodedRecord:
    try:
        decode_command(raw)
    except UndecodableRecord as error:
        return dead_letter(raw, error)
    raise AssertionError("the record was understood")


def test_the_original_bytes_and_headers_stay_as_they_were() -> None:
    raw = record(b"\xff not json", HEADERS | {"x-note": b"\xfe"}, key=b"\xfd")
    letter = letter_of(raw)
    assert (letter.key, letter.value) == (b"\xfd", b"\xff not json")
    assert tuple(letter.headers[: len(raw.headers)]) == raw.headers


def test_the_reason_and_the_position_stand_in_headers() -> None:
    headers = dict(letter_of(record(b"not json")).headers)
    assert headers["dlq_code"] == b"not_json"
    assert headers["dlq_field"] == b"value"
    assert headers["dlq_problem"].startswith(b"is not JSON")
    position = [headers[f"dlq_{name}"] for name in ("topic", "partition", "offset", "timestamp")]
    assert position == [b"commands", b"3", b"42", b"1700000000000"]


def test_a_record_without_value_or_key_is_a_letter_without_them() -> None:
    nothing = RawRecord(topic="t", partition=0, offset=1, timestamp_ms=2, key=None, value=None, headers=())
    letter = letter_of(nothing)
    assert (letter.key, letter.value) == (None, None)
    assert dict(letter.headers)["dlq_code"] == b"no_value"


def test_headers_that_cannot_stand_as_they_were_are_kept_in_base64() -> None:
    odd = (("x-\udcff", b"1"), ("dlq_code", b"forged"), ("x-absent", None))
    headers = dict(letter_of(record(headers=(*HEADERS.items(), *odd))).headers)
    assert headers["dlq_code"] == b"invalid_header"
    pairs = [
        [base64.b64decode(name), None if value is None else base64.b64decode(value)]
        for name, value in json.loads(headers["dlq_headers_base64"])
    ]
    assert pairs == [[b"x-\xff", b"1"], [b"dlq_code", b"forged"], [b"x-absent", None]]


def test_a_letter_is_never_larger_than_the_room_it_has() -> None:
    odd = tuple((f"x-\udcff{number}", b"v" * 900) for number in range(900))
    raw = record(headers=odd)
    letter = letter_of(raw)
    headers = dict(letter.headers)
    kept = len(json.loads(headers["dlq_headers_base64"]))
    assert kept + int(headers["dlq_headers_dropped"]) == 900
    assert sum(len(name) + len(value) for name, value in letter.headers) < DEAD_LETTER_MARGIN_BYTES


def test_a_value_that_no_reader_takes_is_cut_with_its_size_and_digest() -> None:
    value = b"x" * (MAX_VALUE_BYTES + 1)
    letter = letter_of(record(value))
    headers = dict(letter.headers)
    assert letter.value == value[:KEPT_BYTES]
    assert headers["dlq_value_bytes"] == str(len(value)).encode()
    assert headers["dlq_value_sha256"] == sha256(value).hexdigest().encode()


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({f"x-{n}": b"v" * 1000 for n in range(2000)}, None),
        ({"x-one": b"v" * 900_000}, None),
        ({}, b"k" * 900_000),
        ({"x-" + "n" * 500_000: b"v"}, None),
    ],
)
def test_no_dead_letter_is_larger_than_its_topic_takes(headers: dict[str, bytes], key: bytes | None) -> None:
    letter = letter_of(record(b"{" + b"x" * (MAX_VALUE_BYTES - 1), headers, key=key))
    size = len(letter.key or b"") + len(letter.value or b"")
    size += sum(len(name.encode()) + len(value) for name, value in letter.headers)
    assert size < MAX_MESSAGE_BYTES
    told = dict(letter.headers)
    assert told["dlq_code"]
    if key is None:
        assert int(told["dlq_headers_dropped"]) == len(headers) - sum(name in headers for name in told)
    else:
        assert told["dlq_key_bytes"] == b"900000"
