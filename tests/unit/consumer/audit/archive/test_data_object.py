"""An object is given out only if it is, line by line, what its link says. Whoever signs a lie about it is found too."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from evaluation_cancel.consumer.audit.archive.chain import EMPTY
from evaluation_cancel.consumer.audit.archive.data_object import BrokenObject, read_records
from evaluation_cancel.consumer.audit.archive.keys import data_key
from evaluation_cancel.consumer.audit.archive.link import Link
from evaluation_cancel.consumer.audit.archive.record_lines import encode_line
from evaluation_cancel.consumer.audit.archive.segment import Segment
from tests.support.fakes.audit import raw_record

Lines = list[bytes]


def sealed() -> tuple[Link, bytes]:
    """Offsets 0-9 without 4 and 9."""
    segment = Segment("commands", 0, EMPTY, begins_at=0)
    for offset in (0, 1, 2, 3, 5, 6, 7, 8):
        segment.add(raw_record(offset))
    segment.advance_to(10)
    return segment.seal()


def packed(link: Link, body: bytes) -> tuple[Link, bytes]:
    """The link with this body's digest and name."""
    sha256 = hashlib.sha256(body).hexdigest()
    day = (link.data or "").split("/")[2]
    return replace(link, sha256=sha256, data=data_key(link.topic, day, link.partition, link.first, sha256)), body


def gzipped(lines: Lines) -> bytes:
    compressor = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    return compressor.compress(b"".join(lines)) + compressor.flush()


def swapped(lines: Lines) -> Lines:
    return [lines[1], lines[0], *lines[2:]]


def altered(lines: Lines) -> Lines:
    return [lines[0].replace(b'"partition":0', b'"partition":1'), *lines[1:]]


def of_another_day(lines: Lines) -> Lines:
    return [encode_line(raw_record(0, timestamp_ms=1)), *lines[1:]]


CHANGES: dict[str, Callable[[Lines], Lines]] = {
    "dropped": lambda lines: lines[1:],
    "inserted": lambda lines: [*lines, encode_line(raw_record(4))],
    "doubled": lambda lines: [lines[0], *lines],
    "swapped": swapped,
    "altered": altered,
    "another day": of_another_day,
    "no record": lambda lines: [b"{}\n", *lines[1:]],
    "an end without its newline": lambda lines: [*lines[:-1], lines[-1][:-9]],
    "replaced": lambda lines: [*lines[:-1], encode_line(raw_record(4))],
}


def test_the_records_come_back() -> None:
    link, body = sealed()
    assert [r.offset for r in read_records(body, link)] == [0, 1, 2, 3, 5, 6, 7, 8]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("signed_anew", [False, True])
def test_no_record_can_be_altered_dropped_swapped_or_inserted(
    change: Callable[[Lines], Lines], signed_anew: bool
) -> None:
    link, body = sealed()
    lines = zlib.decompress(body, 16 + zlib.MAX_WBITS).splitlines(keepends=True)
    forged = gzipped(change(lines))
    if signed_anew:
        link, forged = packed(link, forged)
    with pytest.raises(BrokenObject) as raised:
        list(read_records(forged, link))
    assert raised.value.code == ("wrong_records" if signed_anew else "altered_object")


@pytest.mark.parametrize("body", [b"", b"no gzip", gzipped([b"x"])[:-3]], ids=["empty", "no gzip", "truncated"])
def test_what_cannot_be_decompressed_says_so(body: bytes) -> None:
    link, forged = packed(sealed()[0], body)
    with pytest.raises(BrokenObject, match="cannot be decompressed"):
        list(read_records(forged, link))


def test_an_object_under_another_name_is_not_the_linked_one() -> None:
    link, body = sealed()
    with pytest.raises(BrokenObject, match="does not match its link") as raised:
        list(read_records(body, replace(link, first=1, data=link.data)))
    assert raised.value.code == "misnamed_object"
