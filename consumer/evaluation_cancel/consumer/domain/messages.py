"""An encoded message as the outbox keeps it: built once, and the same bytes each time it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson

from evaluation_cancel.schemas.wire.records import Headers


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """An encoded event or dead letter and its topic. The relay adds the sequence number when it sends the message."""

    event_id: UUID
    type: str
    evaluation_id: UUID | None
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


def pack_headers(headers: Headers) -> bytes:
    """Headers as a JSON list of pairs, readable in psql; latin-1 keeps every byte of a value that is not UTF-8."""
    return orjson.dumps([(name, value.decode("latin-1")) for name, value in headers])


def unpack_headers(packed: bytes) -> Headers:
    """Reads what `pack_headers` wrote."""
    pairs: Sequence[tuple[str, str]] = orjson.loads(packed)
    return [(name, value.encode("latin-1")) for name, value in pairs]
