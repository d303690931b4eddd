"""Builds a record of the dead-letter topic: the undecodable bytes unchanged, and the reason.

The original headers stay unchanged, `ce_` headers too, so that a repaired record can be sent again. Added headers begin
with `dlq_`. A dead letter is not a CloudEvent. The consumer's outbox publishes it.
"""

import base64
from typing import Final

import orjson

from evaluation_cancel.schemas.events import dead_letter_id
from evaluation_cancel.schemas.wire.records import EncodedRecord, Headers, RawRecord, UndecodableRecord

_PREFIX: Final = "dlq_"
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
    headers += _reasons(record, error)
    if odd:
        headers += _odd_headers(odd)
    return EncodedRecord(key=record.key, value=record.value, headers=headers)


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
    return [(_PREFIX + name, str(text).encode("utf-8", "backslashreplace")) for name, text in reasons.items()]


def _odd_headers(odd: list[tuple[bytes, bytes | None]]) -> Headers:
    """Names that are no UTF-8 or are ours, and absent values, cannot stand as they were: JSON of base64 pairs."""
    pairs = []
    room = _MAX_ODD_HEADER_BYTES
    for name, value in odd:
        room -= len(name) + len(value or b"")
        if room < 0:
            break
        pairs.append([_base64(name), None if value is None else _base64(value)])
    headers = [(f"{_PREFIX}headers_base64", orjson.dumps(pairs))]
    if len(pairs) < len(odd):
        headers.append((f"{_PREFIX}headers_dropped", b"%d" % (len(odd) - len(pairs))))
    return headers


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
