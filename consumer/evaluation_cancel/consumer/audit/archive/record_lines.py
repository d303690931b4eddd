"""A Kafka record as one line of JSON, whole and back again: what the archive holds and `replay` prints.

Bytes that are UTF-8 stand as text, so that a shell can search them; others as {"base64": …}. A header name that is no
UTF-8 is written the same way. What a record means is not looked at here: `audit/history/facts.py`.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson

from evaluation_cancel.schemas.wire.records import RawRecord


class BrokenLine(ValueError):  # noqa: N818  # names the line
    """A line that is no record; says what is wrong with it."""


def encode_line(record: RawRecord) -> bytes:
    """The line with its end. One record always gives the same bytes."""
    key, value = record.key, record.value
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
    """With what is no text in it."""
    names = [name.encode("utf-8", "surrogateescape") for name, _ in record.headers]
    line = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp_ms,
        "key": _shown(record.key),
        "headers": [(_shown(n), _shown(v)) for n, (_, v) in zip(names, record.headers, strict=True)],
        "value": _shown(record.value),
    }
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _shown(raw: bytes | None) -> str | dict[str, str] | None:
    if raw is None:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}


def decode_line(line: bytes | memoryview) -> RawRecord:
    """The record of a line. Raises `BrokenLine`."""
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
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, binascii.Error) as error:
        raise BrokenLine(f"is no record: {type(error).__name__}: {error}"[:200]) from None


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}"[:100])
    return value


def _bytes(shown: str | dict[str, str] | None) -> bytes | None:
    if shown is None:
        return None
    if type(shown) is str:
        return shown.encode()
    return base64.b64decode(shown["base64"], validate=True)  # type: ignore[index]  # a list raises TypeError


def _name(shown: str | dict[str, str]) -> str:
    if type(shown) is str:
        return shown
    return base64.b64decode(shown["base64"], validate=True).decode("utf-8", "surrogateescape")  # type: ignore[index]
