"""Whatever the bytes are, decoding ends in a message or in UndecodableRecord."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation_cancel.schemas.wire.codec import UndecodableRecord, dead_letter, decode_command, decode_event
from evaluation_cancel.schemas.wire.records import RawRecord
from tests.support.schemas.examples import COMMAND_TYPE, DATA, HEADERS

names = st.one_of(
    st.sampled_from([*HEADERS, "content-type", "traceparent", "ce_time", "ce_sequence", "ce_expirytime", "ce_"]),
    st.binary(max_size=12).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
)
good_values = st.sampled_from(
    [*HEADERS.values(), b"application/cloudevents+json", b"2026-11-24T12:00:00Z", b"7", b"ai.vijil.evaluations.v9."]
)
header_lists = st.lists(st.tuples(names, st.none() | good_values | st.binary(max_size=40)), max_size=12)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    [*DATA, "id", "specversion", "source", "type", "data", "data_base64", "time", "cleanup_artifacts", "sequence"]
)


def spoiled(changes: dict[str, Any]) -> bytes:
    whole = DATA | {"specversion": "1.0", "id": "1", "source": "/", "type": COMMAND_TYPE, "data": DATA} | changes
    return json.dumps(whole).encode("utf-8", "surrogatepass")


values = st.one_of(
    st.none(),
    st.binary(max_size=200),
    st.binary(max_size=20).map(lambda tail: b"\x00\x00\x00\x00\x01" + tail),
    st.dictionaries(fields, anything, max_size=3).map(spoiled),
    st.tuples(st.integers(0, 200), st.binary(max_size=3)).map(
        lambda cut: json.dumps(DATA).encode()[: cut[0]] + cut[1] + json.dumps(DATA).encode()[cut[0] :]
    ),
)


@settings(max_examples=1500, deadline=None)
@given(value=values, headers=header_lists, key=st.none() | st.binary(max_size=40), base=st.booleans())
def test_nothing_else_ever_leaves_decoding(
    value: bytes | None, headers: list[tuple[str, bytes | None]], key: bytes | None, base: bool
) -> None:
    everything: list[tuple[str, bytes | None]] = [*(HEADERS.items() if base else ()), *headers]
    raw = RawRecord(topic="t", partition=0, offset=0, timestamp_ms=-1, key=key, value=value, headers=tuple(everything))
    for decode in (decode_command, decode_event):
        try:
            decode(raw)
        except UndecodableRecord as error:
            letter = dead_letter(raw, error)
            assert (letter.key, letter.value) == (key, value)
            assert all(name.encode() is not None for name, _ in letter.headers)
            assert str(error).isprintable()  # noqa: PT017 - most records decode, so raising is not expected
