"""Reads CloudEvents attributes, version 1.0 only, from headers or from a structured value.

`decoding.py` finds out which mode a record uses.
"""

import re
from datetime import UTC, datetime
from typing import Any, Final

from evaluation_cancel.schemas.envelope import SPEC_VERSION, Envelope
from evaluation_cancel.schemas.fields import EARLIEST_YEAR, LATEST_YEAR, MAX_COUNT, MAX_IDENTIFIER_BYTES
from evaluation_cancel.schemas.wire.records import Problem

Attributes = dict[str, str]

_SURELY_SHORT: Final = MAX_IDENTIFIER_BYTES // 4
"""That many characters never exceed the limit in bytes."""

_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_TRACE_PARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_DECIMAL: Final = re.compile(r"\d{1,20}", re.ASCII)


def envelope_of(attributes: Attributes) -> Envelope:
    get = attributes.get
    version = required(attributes, "specversion")
    if version != SPEC_VERSION:
        raise Problem("unsupported_version", "specversion", "is not 1.0")
    return Envelope(
        id=required(attributes, "id"),
        source=required(attributes, "source"),
        type=required(attributes, "type"),
        time=_time("time", get("time")),
        subject=get("subject"),
        dataschema=get("dataschema"),
        partitionkey=get("partitionkey"),
        correlationid=get("correlationid"),
        causationid=get("causationid"),
        cancellationid=get("cancellationid"),
        sequence=_sequence(get("sequence")),
        expirytime=_time("expirytime", get("expirytime")),
        traceparent=_trace_parent(get("traceparent")),
    )


def required(attributes: Attributes, name: str) -> str:
    text = attributes.get(name)
    if not text:
        raise Problem("missing_field", name, "is missing or empty")
    return text


def checked(name: str, text: str) -> str:
    """What may be kept of any attribute: bounded, and without what Postgres cannot store."""
    if len(text) > _SURELY_SHORT and len(text.encode()) > MAX_IDENTIFIER_BYTES:
        raise Problem("out_of_range", name, f"is longer than {MAX_IDENTIFIER_BYTES} bytes")
    if "\x00" in text:
        raise Problem("invalid_text", name, "holds a NUL character")
    return text


def from_header(name: str, raw: bytes | None) -> str:
    try:
        text = raw.decode() if raw is not None else ""
    except UnicodeDecodeError:
        raise Problem("invalid_header", name, "is not UTF-8") from None
    # Said here and not by checked() alone: a call for each header of each record is a fifth of decoding.
    return text if len(text) <= _SURELY_SHORT and "\x00" not in text else checked(name, text)


def from_structured(event: dict[str, Any]) -> Attributes:
    """JSON gives extensions their own types; null means absent."""
    attributes: Attributes = {}
    for name, value in event.items():
        if value is None or name in ("data", "data_base64"):
            continue
        if type(value) is str:
            attributes[name] = checked(_shown(name), value)
        elif type(value) in (int, bool):
            attributes[name] = str(value).lower()
        else:
            raise Problem("invalid_field", _shown(name), "is not a string, an integer or a boolean")
    return attributes


def _shown(name: str) -> str:
    return ascii(name)[1:-1][:100]


def _time(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        if _RFC_3339.fullmatch(text) is None:
            raise ValueError  # noqa: TRY301 - one way out for all that is no time
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise Problem("invalid_field", name, "is not an RFC 3339 time") from None
    if EARLIEST_YEAR <= moment.year <= LATEST_YEAR:
        moment = moment.astimezone(UTC)
        if EARLIEST_YEAR <= moment.year <= LATEST_YEAR:
            return moment
    raise Problem("out_of_range", name, f"lies outside the years {EARLIEST_YEAR} to {LATEST_YEAR}")


def _sequence(text: str | None) -> int | None:
    if text is None:
        return None
    if _DECIMAL.fullmatch(text) is None:
        raise Problem("invalid_field", "sequence", "is not a decimal number of at most 20 digits")
    number = int(text)
    if number > MAX_COUNT:
        raise Problem("out_of_range", "sequence", "does not fit into 63 bits")
    return number


def _trace_parent(text: str | None) -> str | None:
    """A broken trace is dropped, as W3C recommends: it must not cost a command."""
    return text if text is not None and _TRACE_PARENT.fullmatch(text) else None
