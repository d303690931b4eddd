"""What of one partition has been read and not yet archived, compressed as it comes; becomes one object and one link.

Pure: reading is `audit/kafka/reading.py`, writing `writer.py`. A crash loses a segment, and Kafka still has its
records.
"""

from __future__ import annotations

import hashlib
import time
import zlib
from dataclasses import dataclass
from typing import Final

from evaluation_cancel.consumer.audit.archive.chain import Head
from evaluation_cancel.consumer.audit.archive.keys import data_key, day_of
from evaluation_cancel.consumer.audit.archive.link import Link
from evaluation_cancel.consumer.audit.archive.offsets import add_range
from evaluation_cancel.consumer.audit.archive.record_lines import encode_line
from evaluation_cancel.schemas.wire.records import RawRecord

_GZIP: Final = 16 + zlib.MAX_WBITS
"""With gzip's header and no time in it, so that the same records always make the same object."""
_LEVEL: Final = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Sealed:
    """A finished segment: its link, not yet signed, and the data object, unless it holds no record."""

    link: Link
    body: bytes


class Segment:
    """Begins at the head of a chain; `position` is where the reader goes on."""

    def __init__(self, topic: str, partition: int, head: Head, *, begins_at: int) -> None:
        """`begins_at`: the first offset Kafka still has; what lies before it has expired unarchived."""
        self.topic = topic
        self.partition = partition
        self.position = max(head.next_offset, begins_at)
        self.opened_at = time.monotonic()
        self.size = 0
        """Bytes of lines, before compression."""
        self._head = head
        self._expired: list[tuple[int, int]] = []
        add_range(self._expired, head.next_offset, begins_at - 1)
        self._absent: list[tuple[int, int]] = []
        self._records = 0
        self._first_timestamp = self._last_timestamp = 0
        self._day: str | None = None
        self._compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._chunks: list[bytes] = []

    @property
    def is_empty(self) -> bool:
        """Without a record. Offsets without records wait for the next one."""
        return self._records == 0

    def belongs(self, record: RawRecord) -> bool:
        """Whether it is of the same day as the others: an object holds one day."""
        return self._day is None or day_of(record.timestamp_ms) == self._day

    def add(self, record: RawRecord) -> None:
        self.pass_over(record.offset)
        if self._day is None:
            self._day = day_of(record.timestamp_ms)
            self._first_timestamp = self._last_timestamp = record.timestamp_ms
            self.opened_at = time.monotonic()
        line = encode_line(record)
        self._chunks.append(self._compressor.compress(line))
        self.size += len(line)
        self._records += 1
        self._first_timestamp = min(self._first_timestamp, record.timestamp_ms)
        self._last_timestamp = max(self._last_timestamp, record.timestamp_ms)
        self.position = record.offset + 1

    def pass_over(self, position: int) -> None:
        """The reader has gone on to here; what lies between holds no record."""
        add_range(self._absent, self.position, position - 1)
        self.position = max(self.position, position)

    def seal(self) -> Sealed:
        """Everything up to the position. The segment is used up by it."""
        body = b"".join((*self._chunks, self._compressor.flush())) if self._records else b""
        sha256 = hashlib.sha256(body).hexdigest() if self._records else None
        first = self._head.next_offset
        link = Link(
            topic=self.topic,
            partition=self.partition,
            first=first,
            last=self.position - 1,
            records=self._records,
            absent=tuple(self._absent),
            expired=tuple(self._expired),
            first_timestamp=self._first_timestamp if self._records else None,
            last_timestamp=self._last_timestamp if self._records else None,
            data=data_key(self.topic, self._day or "", self.partition, first, sha256) if sha256 else None,
            sha256=sha256,
            previous=self._head.digest,
        )
        return Sealed(link=link, body=body)
