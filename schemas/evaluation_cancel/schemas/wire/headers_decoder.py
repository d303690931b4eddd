"""Reads a batch with header names that are not UTF-8, which aiokafka's own reader refuses as a whole.

The odd bytes of the names are kept as surrogate escapes; `decoding.py` then decides about the record. Written against
aiokafka 0.14; a test holds the parts that it relies on.
"""

from typing import Any

from aiokafka.record.default_records import _DefaultRecordBatchPy


class LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # final for its authors' convenience only
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
