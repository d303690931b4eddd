"""Records of one partition that were read and are not yet archived. A segment becomes one data object and one link.

Records are compressed as they are added. Pure: `writer.py` stores the result. If the process crashes the segment is
lost, and its records are read from Kafka again.
"""

from __future__ import annotations

import hashlib
import time
import zlib
from typing import Final

from evaluation_cancel.consumer.audit.archive.chain import Head
from evaluation_cancel.consumer.audit.archive.keys import data_key, day_of
from evaluation_cancel.consumer.audit.archive.link import Link
from evaluation_cancel.consumer.audit.archive.offsets import add_range
from evaluation_cancel.consumer.audit.archive.record_lines import encode_line
from evaluation_cancel.schemas.wire.records import RawRecord

_GZIP: Final = 16 + zlib.MAX_WBITS
"""gzip with a header that has no time, so that the same records always give the same object."""
_LEVEL: Final = 6


class Segment:
    """A segment that continues a chain at its head. `position` is the next offset to read."""

    def __init__(self, topic: str, partition: int, head: Head, *, begins_at: int) -> None:
        """`begins_at` is the first offset that Kafka retains. Offsets between head and `begins_at` count as expired."""
        self.topic = topic
        self.partition = partition
        self.position = max(head.next_offset, begins_at)
        self.opened_at = time.monotonic()
        self.size = 0
        """Bytes of its lines before compression."""
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
        """Whether it holds no record. Offsets without a record are archived together with the next record."""
        return self._records == 0

    def belongs(self, record: RawRecord) -> bool:
        """Whether the record has the same day as the others: an object holds one day."""
        return self._day is None or day_of(record.timestamp_ms) == self._day

    def add(self, record: RawRecord) -> None:
        """Append a record. Offsets that were skipped before it count as absent."""
        self.advance_to(record.offset)
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

    def advance_to(self, position: int) -> None:
        """Advance to a position. The offsets before it that were not added count as absent."""
        add_range(self._absent, self.position, position - 1)
        self.position = max(self.position, position)

    def seal(self) -> tuple[Link, bytes]:
        """Finish the segment: its unsigned link and its data object, which is empty without records."""
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
        return link, body
