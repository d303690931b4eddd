"""Reads the records of one data object and checks them against the link that names it."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator

from evaluation_cancel.consumer.audit.archive.keys import day_of, read_data_key
from evaluation_cancel.consumer.audit.archive.link import Link
from evaluation_cancel.consumer.audit.archive.record_lines import BrokenLine, decode_line
from evaluation_cancel.schemas.wire.records import RawRecord


class BrokenObject(ValueError):  # noqa: N818  # names the object
    """The object differs from the one that its link describes. `code` is stable."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def read_records(body: bytes, link: Link) -> Iterator[RawRecord]:
    """Check the digest of the whole object, then yield its records. Raises `BrokenObject` at the first defect."""
    if hashlib.sha256(body).hexdigest() != link.sha256:
        raise BrokenObject("altered_object", "its SHA-256 differs from the one in its link")
    name = read_data_key(link.data or "")
    place = (link.topic, link.partition, link.first, link.sha256)
    if name is None or (name.topic, name.partition, name.first, name.sha256) != place:
        raise BrokenObject("misnamed_object", "its key does not match its link")
    try:
        lines = zlib.decompress(body, 16 + zlib.MAX_WBITS).splitlines(keepends=True)
    except zlib.error as error:
        raise BrokenObject("unreadable_object", f"cannot be decompressed: {error}") from None
    if len(lines) != link.records:
        raise BrokenObject("wrong_records", f"holds {len(lines)} records, its link says {link.records}")
    yield from _checked(lines, link, name.day)


def _checked(lines: list[bytes], link: Link, day: str) -> Iterator[RawRecord]:
    gaps = sorted((*link.absent, *link.expired))
    expected = link.first
    for number, line in enumerate(lines, 1):
        expected = _after_gaps(gaps, expected)
        try:
            record = decode_line(line)
        except BrokenLine as error:
            raise BrokenObject("wrong_records", f"line {number} {error}") from None
        if (record.topic, record.partition, record.offset) != (link.topic, link.partition, expected):
            found = f"{record.topic}[{record.partition}]@{record.offset}"
            raise BrokenObject("wrong_records", f"line {number} is {found} instead of offset {expected}")
        if day_of(record.timestamp_ms) != day:
            raise BrokenObject("wrong_records", f"line {number} is of {day_of(record.timestamp_ms)} instead of {day}")
        expected += 1
        yield record
    if _after_gaps(gaps, expected) != link.last + 1 or gaps:
        raise BrokenObject("wrong_records", f"ends before offset {link.last}")


def _after_gaps(gaps: list[tuple[int, int]], offset: int) -> int:
    """The next offset that must hold a record. Removes the gaps before it from the list."""
    while gaps and gaps[0][0] == offset:
        offset = gaps.pop(0)[1] + 1
    return offset
