"""Lets aiokafka hand out what it cannot read in the place of a record, instead of raising from a read of everything.

An error that is raised there names no partition, drops the records of others, and comes again at the same offset for
ever. Here a batch that cannot be read becomes one record whose value is `Unreadable`; a batch or record too large to be
kept becomes one with a `Cut`. `RawRecord.of` knows both. aiokafka's own reader stays in use; written against 0.14.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords

from evaluation_cancel.schemas.wire import codecs
from evaluation_cancel.schemas.wire.codecs import MAX_UNPACKED_BYTES, TooLargeToUnpack
from evaluation_cancel.schemas.wire.headers_decoder import LenientBatch
from evaluation_cancel.schemas.wire.records import KEPT_BYTES, MAX_RECORD_BYTES, CutValue, Unreadable

_LENGTH_AT: Final = 8
_BEFORE_BATCH: Final = 12
_FIRST_MAGIC_WITH_HEADERS: Final = 2
_BEYOND: Final = 2**62
"""An offset above any: aiokafka skips records below the offset that it asked for."""


def install() -> None:
    """Put the surviving reader in place for every consumer of this process. Harmless when called again."""
    codecs.install()
    fetcher.MemoryRecords = SurvivingRecords


@dataclass(frozen=True, slots=True)
class _Record:
    """Has what aiokafka reads of a record."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    timestamp_type: int = 0
    checksum: None = None


class SurvivingRecords:
    """Stands where aiokafka's MemoryRecords stands: hands out the batches of one fetched partition."""

    def __init__(self, fetched: bytes) -> None:
        self._fetched = fetched
        self._batches = MemoryRecords(fetched)
        self._position = 0
        self._broken = False

    def size_in_bytes(self) -> int:
        return int(self._batches.size_in_bytes())

    def has_next(self) -> bool:
        return not self._broken and bool(self._batches.has_next())

    def next_batch(self) -> Any:
        start = self._position
        length = int.from_bytes(self._fetched[start + _LENGTH_AT : start + _BEFORE_BATCH], "big")
        self._position = start + _BEFORE_BATCH + length
        try:
            batch: Any = self._batches.next_batch()
        except CorruptRecordException as error:
            self._broken = True
            return _UnreadableBatch(str(error))
        if batch is None or batch.magic < _FIRST_MAGIC_WITH_HEADERS:
            return batch
        if not batch.validate_crc():
            return _UnreadableBatch("the checksum of the batch does not fit its bytes")
        return batch if batch.is_control_batch else _SurvivingBatch(batch, self._fetched, start, self._position)


class _UnreadableBatch:
    """A batch whose header cannot be trusted either."""

    producer_id = None
    is_control_batch = False
    is_transactional = False
    next_offset = _BEYOND + 1

    def __init__(self, problem: str) -> None:
        self._problem = problem

    def validate_crc(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        return iter([_marker(self._problem)])


class _SurvivingBatch:
    """Everything but iteration is the original's."""

    def __init__(self, batch: Any, fetched: bytes, start: int, end: int) -> None:
        self._batch = batch
        self._raw = memoryview(fetched)[start:end]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def validate_crc(self) -> bool:
        return True  # it was, before

    def __iter__(self) -> Iterator[Any]:
        try:
            records = self._records()
            is_small = len(self._raw) <= MAX_RECORD_BYTES and not self._batch.compression_type
            return iter(records) if is_small else map(_within_limits, records)
        except TooLargeToUnpack:
            return iter([self._too_large()])
        except Exception as error:  # noqa: BLE001  # whatever a codec or a parser raises on a stranger's bytes
            where = f"offsets {self.base_offset} to {self.next_offset - 1}"
            return iter([_marker(f"{type(error).__name__}: {error} ({where})")])

    def _records(self) -> list[Any]:
        try:
            return list(self._batch)
        except (UnicodeDecodeError, CorruptRecordException):
            # The pure-Python build of aiokafka calls both by the second name; true corruption raises it once more.
            return list(LenientBatch(self._raw))

    def _too_large(self) -> _Record:
        """The whole batch in the place of its first record, packed as it is."""
        what = f"a batch of more than {MAX_UNPACKED_BYTES} bytes, offsets {self.base_offset} to {self.next_offset - 1}"
        value = CutValue.of(bytes(self._raw), what)
        return _Record(offset=self.base_offset, timestamp=self.max_timestamp, key=None, value=value, headers=[])


def _within_limits(record: Any) -> Any:
    size = len(record.key or b"") + len(record.value or b"")
    size += sum(len(name) + len(value or b"") for name, value in record.headers)
    if size <= MAX_RECORD_BYTES:
        return record
    digest = sha256(record.key or b"")
    for name, value in record.headers:
        digest.update(name.encode("utf-8", "surrogateescape"))
        digest.update(value or b"")
    digest.update(record.value or b"")
    cut = CutValue(bytes((record.value or b"")[:KEPT_BYTES]), size, digest.hexdigest(), f"a record of {size} bytes")
    return _Record(offset=record.offset, timestamp=record.timestamp, key=None, value=cut, headers=[])


def _marker(problem: str) -> _Record:
    return _Record(offset=_BEYOND, timestamp=0, key=None, value=Unreadable(problem), headers=[])
