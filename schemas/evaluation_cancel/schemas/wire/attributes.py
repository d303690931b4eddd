"""Reads CloudEvents attributes, version 1.0 only, from headers or from a structured value.

`decoding.py` finds out which mode a record uses.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import orjson

from evaluation_cancel.schemas.envelope import SPEC_VERSION, Envelope
from evaluation_cancel.schemas.fields import EARLIEST_YEAR, LATEST_YEAR, MAX_COUNT, MAX_IDENTIFIER_BYTES
from evaluation_cancel.schemas.wire.records import Problem

T = TypeVar("T")
Attributes = dict[str, str]

KNOWN: Final = frozenset({"specversion", *Envelope.__slots__} - {"dropped"})
"""All others are extensions that mean nothing here."""
DROPPABLE: Final = KNOWN - {"specversion", "id", "source", "type", "expirytime", "traceparent"}
"""Attributes that must not cost a command. An expiry that cannot be read must: nobody knows whether it is over."""
_SPRING: Final = f'"{SPEC_VERSION}"'

_SURELY_SHORT: Final = MAX_IDENTIFIER_BYTES // 4
"""That many characters never exceed the limit in bytes."""

_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_TRACE_PARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_DECIMAL: Final = re.compile(r"\d{1,20}", re.ASCII)


def envelope_of(attributes: Attributes, dropped: Sequence[str] = ()) -> Envelope:
    get = attributes.get
    time, sequence, expiry, not_read = get("time"), get("sequence"), get("expirytime"), list(dropped)
    version = required(attributes, "specversion")
    if version != SPEC_VERSION:
        raise Problem("unsupported_version", "specversion", "is not 1.0")
    return Envelope(
        id=required(attributes, "id"),
        source=required(attributes, "source"),
        type=required(attributes, "type"),
        time=None if time is None else _or_dropped(_time, "time", time, not_read),
        subject=get("subject"),
        dataschema=get("dataschema"),
        partitionkey=get("partitionkey"),
        correlationid=get("correlationid"),
        causationid=get("causationid"),
        cancellationid=get("cancellationid"),
        sequence=None if sequence is None else _or_dropped(_sequence, "sequence", sequence, not_read),
        expirytime=None if expiry is None else _time("expirytime", expiry),
        traceparent=_trace_parent(get("traceparent")),
        dropped=tuple(not_read),
    )


def _or_dropped(read: Callable[[str, str], T | None], name: str, text: str, not_read: list[str]) -> T | None:
    try:
        return read(name, text)
    except Problem:
        not_read.append(name)
        return None


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


def unquoted(attributes: Attributes) -> Attributes:
    """Spring's header mapper writes texts as JSON. It does so with all of a record's or with none."""
    if attributes.get("specversion") != _SPRING:
        return attributes
    return {name: unquoted_text(text) for name, text in attributes.items()}


def unquoted_text(text: str) -> str:
    """The text that a JSON string is of; any other text as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':  # noqa: PLR2004
        return text
    try:
        return str(orjson.loads(text))
    except orjson.JSONDecodeError:
        return text


def from_structured(event: dict[str, Any]) -> tuple[Attributes, list[str]]:
    """The attributes, and those that are dropped. JSON gives extensions their own types; null means absent."""
    attributes: Attributes = {}
    dropped: list[str] = []
    for name in KNOWN | {"datacontenttype"}:
        value = event.get(name)
        if value is None:
            continue
        try:
            attributes[name] = _from_json(name, value)
        except Problem:
            if name not in DROPPABLE:
                raise
            dropped.append(name)
    return attributes, sorted(dropped)


def _from_json(name: str, value: Any) -> str:
    if type(value) is str:
        return checked(name, value)
    if type(value) in (int, bool):
        return str(value).lower()
    raise Problem("invalid_field", name, "is not a string, an integer or a boolean")


def _time(name: str, text: str) -> datetime:
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


def _sequence(name: str, text: str) -> int:
    if _DECIMAL.fullmatch(text) is None:
        raise Problem("invalid_field", name, "is not a decimal number of at most 20 digits")
    number = int(text)
    if number > MAX_COUNT:
        raise Problem("out_of_range", name, "does not fit into 63 bits")
    return number


def _trace_parent(text: str | None) -> str | None:
    """A broken trace is dropped, as W3C recommends: it must not cost a command."""
    return text if text is not None and _TRACE_PARENT.fullmatch(text) else None
