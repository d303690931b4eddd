"""Output of a replay as a Parquet file: whole records, with the facts to filter by in columns of their own."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from evaluation_cancel.consumer.audit.history.facts import facts_of
from evaluation_cancel.consumer.audit.history.history import Piece
from evaluation_cancel.schemas.wire.records import RawRecord

_ROWS: Final = 10_000
"""Rows of a row group, which is held in memory."""
_TEXT: Final = ("type", "id", "source", "sequence", "causation", "cancellation", "evaluation", "team", "actor", "code")
SCHEMA: Final = pa.schema(
    [
        ("topic", pa.dictionary(pa.int32(), pa.string())),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("timestamp", pa.timestamp("ms", tz="UTC")),
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("headers", pa.list_(pa.struct([("name", pa.binary()), ("value", pa.binary())]))),
        *((name, pa.string()) for name in _TEXT),
        ("reason", pa.string()),
        ("decision", pa.string()),
    ]
)


class ParquetOutput:
    """Writes a Parquet file row group by row group."""

    def __init__(self, file: IO[bytes], *, rows: int = _ROWS) -> None:
        """`rows` is the size of a row group."""
        self._group = rows
        self._writer = pq.ParquetWriter(file, SCHEMA, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    async def write(self, records: Sequence[RawRecord], piece: Piece) -> None:  # noqa: ARG002
        self._rows += map(_row, records)
        while len(self._rows) >= self._group:
            self._flush(self._group)

    def close(self) -> None:
        """Write the last row group and the footer."""
        if self._rows:
            self._flush(len(self._rows))
        self._writer.close()

    def _flush(self, count: int) -> None:
        rows, self._rows = self._rows[:count], self._rows[count:]
        self._writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))


def _row(record: RawRecord) -> dict[str, Any]:
    facts = facts_of(record)
    headers = [{"name": n.encode("utf-8", "surrogateescape"), "value": v} for n, v in record.headers]
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp_ms if record.timestamp_ms >= 0 else None,
        "key": record.key,
        "value": record.value,
        "headers": headers,
        "reason": _utf8(facts.reason),
        "decision": next(itertools.islice(facts.decisions, 1), None),
        **{name: _utf8(getattr(facts, name)) for name in _TEXT},
    }


def _utf8(text: str | None) -> str | None:
    """Replace lone surrogates, which JSON can hold and Parquet cannot."""
    return None if text is None else text.encode("utf-8", "replace").decode()
