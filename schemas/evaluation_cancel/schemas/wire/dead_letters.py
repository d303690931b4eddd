"""Builds a record of the dead-letter topic: the undecodable bytes unchanged, and the reason.

What would not fit the topic is cut: of a value that no reader takes, the first 64 KiB stay, with its size and digest.
The original headers stay unchanged, `ce_` headers too, so that a repaired record can be sent again. Added headers begin
with `dlq_`. A dead letter is not a CloudEvent. The consumer's outbox publishes it.
"""

import base64
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

import orjson

from evaluation_cancel.schemas.events import dead_letter_id
from evaluation_cancel.schemas.wire.records import (
    MAX_VALUE_BYTES,
    Cut,
    CutValue,
    EncodedRecord,
    Headers,
    RawRecord,
    UndecodableRecord,
)

_PREFIX: Final = "dlq_"
_MAX_HEADER_BYTES: Final = 256 * 1024
_MAX_KEY_BYTES: Final = 64 * 1024
_MAX_ODD_HEADER_BYTES: Final = 16 * 1024
"""Base64 makes these larger; the dead-letter topic has only so much room above the commands'."""


def dead_letter(record: RawRecord, error: UndecodableRecord) -> EncodedRecord:
    headers: Headers = []
    odd: list[tuple[bytes, bytes | None]] = []
    for name, value in record.headers:
        raw = name.encode("utf-8", "surrogateescape")
        if value is None or name.startswith(_PREFIX) or not _is_utf8(raw):
            odd.append((raw, value))
        else:
            headers.append((name, value))
    headers, dropped = _that_fit(headers)
    headers += _reasons(record, error)
    if odd or dropped:
        headers += _odd_headers(odd, dropped)
    value, cut = _value(record)
    if cut is not None:
        headers += _told({"value_bytes": cut.size, "value_sha256": cut.sha256})
    key = record.key
    if key is not None and len(key) > _MAX_KEY_BYTES:
        headers += _told({"key_bytes": len(key), "key_sha256": sha256(key).hexdigest()})
        key = None
    return EncodedRecord(key=key, value=value, headers=headers)


def _value(record: RawRecord) -> tuple[bytes | None, Cut | None]:
    if record.value is None or record.cut is not None or len(record.value) <= MAX_VALUE_BYTES:
        return record.value, record.cut
    cut = CutValue.of(record.value, "")
    return bytes(cut), cut.cut


def _that_fit(headers: Headers) -> tuple[Headers, int]:
    """The headers that there is room for, and how many are dropped."""
    kept: Headers = []
    room = _MAX_HEADER_BYTES
    for name, value in headers:
        room -= len(name.encode()) + len(value)
        if room < 0:
            break
        kept.append((name, value))
    return kept, len(headers) - len(kept)


def _reasons(record: RawRecord, error: UndecodableRecord) -> Headers:
    reasons = {
        "id": dead_letter_id(record.topic, record.partition, record.offset),
        "code": error.code,
        "field": error.field,
        "problem": error.problem,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp_ms,
    }
    return _told(reasons)


def _told(reasons: Mapping[str, object]) -> Headers:
    return [(_PREFIX + name, str(text).encode("utf-8", "backslashreplace")) for name, text in reasons.items()]


def _odd_headers(odd: list[tuple[bytes, bytes | None]], dropped: int) -> Headers:
    """Names that are no UTF-8 or are ours, and absent values, cannot stand as they were: JSON of base64 pairs."""
    pairs = []
    room = _MAX_ODD_HEADER_BYTES
    for name, value in odd:
        room -= len(name) + len(value or b"")
        if room < 0:
            break
        pairs.append([_base64(name), None if value is None else _base64(value)])
    headers = [(f"{_PREFIX}headers_base64", orjson.dumps(pairs))] if odd else []
    dropped += len(odd) - len(pairs)
    if dropped:
        headers.append((f"{_PREFIX}headers_dropped", b"%d" % dropped))
    return headers


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
