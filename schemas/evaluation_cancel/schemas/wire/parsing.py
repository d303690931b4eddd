"""Parses bytes as JSON, or gives the reason why they are not JSON. It knows no messages."""

import re
from typing import Any, Final

import orjson

from evaluation_cancel.schemas.wire.records import Problem

MAX_DEPTH: Final = 64
_CONFLUENT_PREFIX_BYTES: Final = 5
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[\]{}]")


def refuse_binary_format(content_type: str | None) -> None:
    if content_type is None:
        return
    lowered = content_type.lower()
    for name in ("avro", "protobuf"):
        if name in lowered:
            raise Problem("unsupported_format", "content-type", f"announces {name}; only JSON is read")


def parse_json(value: bytes) -> Any:
    framed = value[:1] == b"\x00"
    if framed:
        value = value[_CONFLUENT_PREFIX_BYTES:]
    if value.count(b"{") + value.count(b"[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise Problem("too_deep", "value", f"is nested more than {MAX_DEPTH} deep")
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise _why_not_json(value, str(error), framed=framed) from None


def _why_not_json(value: bytes, message: str, *, framed: bool) -> Problem:
    """The parser tells its reasons apart by their wording alone; the tests hold the wording."""
    if framed and value.lstrip()[:1] not in (b"{", b"["):
        return Problem("unsupported_format", "value", "is framed by a schema registry's client but holds no JSON")
    try:
        value.decode()
    except UnicodeDecodeError:
        return Problem("not_json", "value", "is not UTF-8")
    if "surrogate" in message:
        return Problem("invalid_text", "value", "holds half a surrogate pair")
    if "infinity" in message:
        return Problem("out_of_range", "value", "holds a number too large for a double")
    return Problem("not_json", "value", f"is not JSON: {message[:200]}")


def _depth(value: bytes) -> int:
    deepest = depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", value)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest
