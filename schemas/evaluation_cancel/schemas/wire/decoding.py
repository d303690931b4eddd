"""Decodes Kafka records to commands and events: CloudEvents in binary and structured mode, and bare JSON.

Raises nothing but UndecodableRecord, whatever the bytes are. Budget: 15 microseconds a command. `attributes.py` reads
the envelope, `parsing.py` the JSON; `dead_letters.py` handles undecodable records.
"""

import base64
import binascii
import re
from typing import Any, Final, TypeVar
from uuid import UUID

from pydantic import BaseModel, ValidationError

from evaluation_cancel.schemas.commands import CancelEvaluation
from evaluation_cancel.schemas.envelope import SPEC_VERSION, TYPE_PREFIX, Envelope
from evaluation_cancel.schemas.events import EVENT_TYPES, Event, bare_command_id
from evaluation_cancel.schemas.wire.attributes import (
    DROPPABLE,
    KNOWN,
    Attributes,
    envelope_of,
    from_header,
    from_structured,
    required,
    unquoted,
    unquoted_text,
)
from evaluation_cancel.schemas.wire.parsing import parse_json, refuse_binary_format
from evaluation_cancel.schemas.wire.records import MAX_VALUE_BYTES, Problem, RawRecord, UndecodableRecord

BARE_SOURCE: Final = "urn:evaluation-cancel:bare"
"""The source of every bare command. No setting should trust it: every writer of the topic can send one."""

COMMAND_TYPE: Final = f"{TYPE_PREFIX}CancelEvaluation"
_ATTRIBUTE_OF: Final = {f"ce_{name}": name for name in KNOWN} | {"traceparent": "traceparent"}
_PREFIXES: Final = ("ce_", "ce-", "cloudevents:", "cloudevents_")
"""Of Kafka's protocol binding, of HTTP's, and of AMQP's two. Bridges and header mappers carry them over as they are."""
_AN_EXTENSION: Final = ""
_COMMANDS: Final[dict[str, type[CancelEvaluation]]] = {COMMAND_TYPE: CancelEvaluation}
_EVENTS: Final[dict[str, type[Event]]] = {TYPE_PREFIX + name: event for name, event in EVENT_TYPES.items()}
_ANY_VERSION: Final = re.compile(r"ai\.vijil\.evaluations\.v\d{1,9}\.", re.ASCII)
_CODES: Final = {
    "missing": "missing_field",
    "string_unicode": "invalid_text",
    "invalid_text": "invalid_text",
    "out_of_range": "out_of_range",
    "string_too_long": "out_of_range",
    "too_long": "out_of_range",
    "less_than_equal": "out_of_range",
    "greater_than_equal": "out_of_range",
    "int_parsing_size": "out_of_range",
}
M = TypeVar("M", bound=BaseModel)


def decode_command(record: RawRecord, *, accept_bare: bool = True) -> tuple[Envelope, CancelEvaluation]:
    try:
        return _decode(record, _COMMANDS, COMMAND_TYPE if accept_bare else None)
    except Problem as problem:
        raise _positioned(record, problem) from None


def decode_event(record: RawRecord) -> tuple[Envelope, Event]:
    try:
        return _decode(record, _EVENTS, None)
    except Problem as problem:
        raise _positioned(record, problem) from None


def _positioned(record: RawRecord, problem: Problem) -> UndecodableRecord:
    return UndecodableRecord(
        code=problem.code,
        field=problem.field,
        problem=problem.problem,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
    )


def _decode(record: RawRecord, known: dict[str, type[M]], bare_type: str | None) -> tuple[Envelope, M]:
    value = record.value
    if record.cut is not None:
        raise Problem("too_large", "value", f"is {record.cut.what}")
    if value is None:
        raise Problem("no_value", "value", "is absent")
    if len(value) > MAX_VALUE_BYTES:
        raise Problem("too_large", "value", f"is larger than {MAX_VALUE_BYTES} bytes")
    attributes, content_type, dropped = _read_headers(record.headers)
    refuse_binary_format(content_type)
    is_structured = content_type is not None and content_type.lower().startswith("application/cloudevents")
    data = parse_json(value)
    if is_structured or (not attributes.keys() - {"traceparent"} and _is_cloud_event(data)):
        attributes, data, dropped = _structured(data, content_type or "", attributes)
    elif not attributes.keys() - {"traceparent"}:
        if bare_type is None:
            raise Problem("missing_field", "ce_specversion", "is missing: not a CloudEvent")
        attributes |= _bare(record, data, bare_type)
    envelope = envelope_of(attributes, dropped)
    message = _validated(_message_type(envelope.type, known), data)
    _check_key(record.key, message.evaluation_id)  # type: ignore[attr-defined]  # every message has one
    return envelope, message


def _read_headers(headers: tuple[tuple[str, bytes | None], ...]) -> tuple[Attributes, str | None, list[str]]:
    """The attributes, the content type, and the attributes that are dropped."""
    attributes: Attributes = {}
    dropped: list[str] = []
    content_type = None
    for name, raw in headers:
        attribute = _ATTRIBUTE_OF.get(name) or _attribute_in(name)
        if attribute is None:
            if name.isascii() and name.lower() == "content-type":
                content_type = from_header(name, raw)
            continue
        if attribute not in KNOWN:
            attributes.setdefault(_AN_EXTENSION, "")  # it says that this is a CloudEvent, and nothing else
            continue
        try:
            text = from_header(name, raw)
        except Problem:
            if attribute not in DROPPABLE:
                raise
            dropped.append(attribute)
            continue
        if attributes.get(attribute, text) != text:
            raise Problem("ambiguous", f"ce_{attribute}", "stands in two headers with different values")
        attributes[attribute] = text
    if content_type is not None:
        content_type = unquoted_text(content_type)
    return unquoted(attributes), content_type, dropped


def _attribute_in(name: str) -> str | None:
    """The CloudEvents attribute that a header holds, in the spellings of other SDKs and bridges. None: no attribute."""
    if not name.isascii():
        _check_name(name)
        return None
    lowered = name.lower()
    prefix = next((each for each in _PREFIXES if lowered.startswith(each)), None)
    return None if prefix is None else lowered[len(prefix) :]


def _check_name(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise Problem("invalid_header", "headers", f"hold a name that is not UTF-8: {ascii(name)[:100]}") from None


def _is_cloud_event(data: Any) -> bool:
    """A structured event whose content type is missing or says only JSON. No bare command has this field."""
    return type(data) is dict and "specversion" in data


def _structured(event: Any, content_type: str, headers: Attributes) -> tuple[Attributes, Any, list[str]]:
    """The value is the whole truth: `ce_` headers beside it are copies, and may be old ones."""
    if content_type.lower().startswith("application/cloudevents-batch"):
        raise Problem("unsupported_format", "content-type", "announces a batch; a record holds one message")
    if type(event) is not dict:
        raise Problem("invalid_field", "value", "is not a JSON object")
    attributes, dropped = from_structured(event)
    refuse_binary_format(attributes.get("datacontenttype"))
    if "traceparent" in headers:
        attributes["traceparent"] = headers["traceparent"]
    encoded = event.get("data_base64")
    if encoded is None:
        return attributes, event.get("data"), dropped
    try:
        return attributes, parse_json(base64.b64decode(encoded, validate=True)), dropped
    except (binascii.Error, TypeError, ValueError):
        raise Problem("invalid_field", "data_base64", "is not base64") from None


def _bare(record: RawRecord, data: Any, type_: str) -> Attributes:
    identifier = data.get("id") if type(data) is dict else None
    if identifier is None:
        identifier = str(bare_command_id(record.topic, record.partition, record.offset))
    attributes = {"id": identifier, "source": BARE_SOURCE, "type": type_, "specversion": SPEC_VERSION}
    required(from_structured(attributes)[0], "id")
    if type(identifier) is not str:
        raise Problem("invalid_field", "id", "is not a string")
    return attributes


def _message_type(type_: str, known: dict[str, type[M]]) -> type[M]:
    found = known.get(type_)
    if found is not None:
        return found
    version = _ANY_VERSION.match(type_)
    if version is not None and TYPE_PREFIX + type_[version.end() :] in known:
        raise Problem("unsupported_version", "type", f"is {type_!a}, of a version this reader does not know")
    raise Problem("unknown_type", "type", f"is {type_!a}; on this topic belongs {' or '.join(known)}")


def _validated(message_type: type[M], data: Any) -> M:
    if type(data) is not dict:
        raise Problem("invalid_field", "data", "is not a JSON object")
    try:
        return message_type.__pydantic_validator__.validate_python(data)  # type: ignore[no-any-return]
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "data"
    raise Problem(_CODES.get(first["type"], "invalid_field"), field[:200], first["msg"][:500])


def _check_key(key: bytes | None, evaluation_id: UUID) -> None:
    if key is None or key == str(evaluation_id).encode():
        return
    try:
        if UUID(key.decode()) == evaluation_id:
            return
    except ValueError:
        pass
    raise Problem("key_mismatch", "key", "is not the id of the evaluation in the value")
