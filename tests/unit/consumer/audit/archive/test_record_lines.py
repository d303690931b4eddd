"""A record survives its line whole, whatever its bytes are."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation_cancel.consumer.audit.archive.record_lines import BrokenLine, decode_line, encode_line
from evaluation_cancel.schemas.wire.records import RawRecord
from tests.support.fakes.audit import raw_record

NAMES = st.one_of(st.text(max_size=8).filter(lambda t: t.isprintable()), st.binary(max_size=6)).map(
    lambda n: n.decode("utf-8", "surrogateescape") if isinstance(n, bytes) else n
)
BYTES = st.one_of(st.none(), st.binary(max_size=40), st.text(max_size=20).map(lambda t: t.encode("utf-8")))


@st.composite
def records(draw: Any) -> RawRecord:
    return RawRecord(
        topic="a.topic",
        partition=draw(st.integers(0, 99)),
        offset=draw(st.integers(0, 2**63 - 1)),
        timestamp_ms=draw(st.integers(-1, 2**53)),
        key=draw(BYTES),
        value=draw(BYTES),
        headers=tuple(draw(st.lists(st.tuples(NAMES, BYTES), max_size=4))),
    )


@given(records())
def test_every_record_comes_back_as_it_was(record: RawRecord) -> None:
    line = encode_line(record)
    assert line.endswith(b"\n")
    assert b"\n" not in line[:-1]
    assert b"\r" not in line
    assert decode_line(line) == record
    assert encode_line(decode_line(line)) == line


def test_text_stands_as_text_and_other_bytes_as_base64() -> None:
    plain = json.loads(encode_line(raw_record(7, headers=(("ce_id", b"x"), ("none", None)))))
    assert plain["value"] == '{"number": 7}'
    assert plain["headers"] == [["ce_id", "x"], ["none", None]]
    odd = json.loads(encode_line(raw_record(7, value=b"\xff", headers=(("x-\udcff", b"\xfe"),))))
    assert odd["value"] == {"base64": "/w=="}
    assert odd["headers"] == [[{"base64": "eC3/"}, {"base64": "/g=="}]]
    assert odd["key"] == "key"


@pytest.mark.parametrize(
    "line",
    [b"", b"{}", b"[]", b"not json", encode_line(raw_record(1)).replace(b'"offset":1', b'"offset":"1"')]
    + [encode_line(raw_record(1)).replace(b'"key":"key"', b'"key":' + odd) for odd in (b"1", b'{"base64":"?"}', b"[]")],
)
def test_what_is_no_record_says_so(line: bytes) -> None:
    with pytest.raises(BrokenLine, match="is not a record"):
        decode_line(line)
