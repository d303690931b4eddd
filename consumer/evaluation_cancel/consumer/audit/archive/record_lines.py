"""A Kafka record as one line of JSON, without loss: the lines of the archive's objects and of `replay --as jsonl`.

UTF-8 bytes are written as text, so that a shell can search them, other bytes as {"base64": …}. The same holds for
header names. The meaning of a record is read in `audit/history/facts.py`.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson

from evaluation_cancel.schemas.wire.records import Cut, RawRecord


class BrokenLine(ValueError):  # noqa: N818  # names the line
    """The line is not a record. The message gives the reason."""


def encode_line(record: RawRecord) -> bytes:
    """The line with its newline. The same record always gives the same bytes."""
    key, value = record.key, record.value
    if record.cut is not None:
        return _encode_odd(record)
    try:
        return orjson.dumps(
            {
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "timestamp": record.timestamp_ms,
                "key": None if key is None else key.decode(),
                "headers": [(name, text.decode()) for name, text in record.headers],  # type: ignore[union-attr]
                "value": None if value is None else value.decode(),
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )
    except (UnicodeDecodeError, AttributeError, TypeError):
        return _encode_odd(record)


def _encode_odd(record: RawRecord) -> bytes:
    """Encode a record with missing headers or with bytes that are not UTF-8."""
    names = [name.encode("utf-8", "surrogateescape") for name, _ in record.headers]
    line: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp_ms,
        "key": _text_or_base64(record.key),
        "headers": [(_text_or_base64(n), _text_or_base64(v)) for n, (_, v) in zip(names, record.headers, strict=True)],
        "value": _text_or_base64(record.value),
    }
    if record.cut is not None:
        line["cut"] = {"size": record.cut.size, "sha256": record.cut.sha256, "what": record.cut.what}
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _text_or_base64(raw: bytes | None) -> str | dict[str, str] | None:
    if raw is None:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}


def decode_line(line: bytes | memoryview) -> RawRecord:
    """Decode a line. Raises `BrokenLine`."""
    try:
        fields = orjson.loads(line)
        return RawRecord(
            topic=_typed(fields["topic"], str),
            partition=_typed(fields["partition"], int),
            offset=_typed(fields["offset"], int),
            timestamp_ms=_typed(fields["timestamp"], int),
            key=_bytes(fields["key"]),
            value=_bytes(fields["value"]),
            headers=tuple([(_name(name), _bytes(text)) for name, text in fields["headers"]]),
            cut=_cut(fields.get("cut")),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, binascii.Error) as error:
        raise BrokenLine(f"is not a record: {type(error).__name__}: {error}"[:200]) from None


def _cut(fields: Any) -> Cut | None:
    if fields is None:
        return None
    return Cut(size=_typed(fields["size"], int), sha256=_typed(fields["sha256"], str), what=_typed(fields["what"], str))


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{value!r} is not {kind.__name__}"[:100])
    return value


def _bytes(encoded: str | dict[str, str] | None) -> bytes | None:
    if encoded is None:
        return None
    if type(encoded) is str:
        return encoded.encode()
    return base64.b64decode(encoded["base64"], validate=True)  # type: ignore[index]  # a list raises TypeError


def _name(encoded: str | dict[str, str]) -> str:
    if type(encoded) is str:
        return encoded
    return base64.b64decode(encoded["base64"], validate=True).decode("utf-8", "surrogateescape")  # type: ignore[index]
