"""Lets aiokafka read a record with header names that are not UTF-8. Without it, one such record stops its group.

aiokafka's own reader stays in use. Only a batch that it cannot read is read again by aiokafka's slow pure-Python
reader, with the odd bytes of header names kept as surrogate escapes. `decoding.py` then decides about the record.
Written against aiokafka 0.14; a test holds the parts that it relies on.
"""

from collections.abc import Iterator
from typing import Any, Final

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

_LENGTH_AT: Final = 8
_BEFORE_BATCH: Final = 12
_FIRST_MAGIC_WITH_HEADERS: Final = 2


def install() -> None:
    """Put the surviving reader in place for every consumer of this process. Harmless when called again."""
    fetcher.MemoryRecords = SurvivingRecords


class SurvivingRecords:
    """Stands where aiokafka's MemoryRecords stands: hands out the batches of one fetched partition."""

    def __init__(self, fetched: bytes) -> None:
        self._fetched = fetched
        self._batches = MemoryRecords(fetched)
        self._position = 0

    def size_in_bytes(self) -> int:
        return int(self._batches.size_in_bytes())

    def has_next(self) -> bool:
        return bool(self._batches.has_next())

    def next_batch(self) -> Any:
        start = self._position
        length = int.from_bytes(self._fetched[start + _LENGTH_AT : start + _BEFORE_BATCH], "big")
        self._position = start + _BEFORE_BATCH + length
        batch: Any = self._batches.next_batch()
        if batch is None or batch.magic < _FIRST_MAGIC_WITH_HEADERS or batch.is_control_batch:
            return batch
        return _SurvivingBatch(batch, memoryview(self._fetched)[start : self._position])


class _SurvivingBatch:
    """Everything but iteration is the original's."""

    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(list(self._batch))
        except (UnicodeDecodeError, CorruptRecordException):
            # The pure-Python build of aiokafka calls both by the second name; true corruption raises it once more.
            return iter(list(_LenientBatch(self._raw)))


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # final for its authors' convenience only
    """aiokafka's pure-Python reader over a buffer that lets any bytes be a name."""

    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _LenientBytes(self._buffer)


class _LenientBytes(bytearray):
    """Slices decode whatever they hold. The reader decodes nothing but header names."""

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return _LenientBytes(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "surrogateescape") -> str:
        return super().decode(encoding, errors)
