"""Encodes commands and events as Kafka records: CloudEvents in binary mode, headers always in the same order.

Budget: 15 microseconds an event.
"""

from pydantic import BaseModel

from evaluation_cancel.schemas.commands import CancelEvaluation
from evaluation_cancel.schemas.envelope import Envelope, rfc3339
from evaluation_cancel.schemas.events import Event
from evaluation_cancel.schemas.wire.records import EncodedRecord, Headers

_SPEC_VERSION = ("ce_specversion", b"1.0")
_CONTENT_TYPE = ("content-type", b"application/json")


def encode_command(envelope: Envelope, command: CancelEvaluation) -> EncodedRecord:
    return _encode(envelope, command, str(command.evaluation_id).encode())


def encode_event(envelope: Envelope, event: Event) -> EncodedRecord:
    return _encode(envelope, event, str(event.evaluation_id).encode())


def _encode(envelope: Envelope, message: BaseModel, key: bytes) -> EncodedRecord:
    value = message.__pydantic_serializer__.to_json(message)
    return EncodedRecord(key=key, value=value, headers=_headers(envelope, key))


def _headers(envelope: Envelope, key: bytes) -> Headers:
    """The key stands for subject and partition key when the envelope names no others."""
    headers = [
        _SPEC_VERSION,
        ("ce_id", envelope.id.encode()),
        ("ce_source", envelope.source.encode()),
        ("ce_type", envelope.type.encode()),
        ("ce_subject", key if envelope.subject is None else envelope.subject.encode()),
        ("ce_partitionkey", key if envelope.partitionkey is None else envelope.partitionkey.encode()),
    ]
    if envelope.time is not None:
        headers.append(("ce_time", rfc3339(envelope.time).encode()))
    if envelope.dataschema is not None:
        headers.append(("ce_dataschema", envelope.dataschema.encode()))
    headers.append(_CONTENT_TYPE)
    _append_extensions(envelope, headers)
    return headers


def _append_extensions(envelope: Envelope, headers: Headers) -> None:
    if envelope.correlationid is not None:
        headers.append(("ce_correlationid", envelope.correlationid.encode()))
    if envelope.causationid is not None:
        headers.append(("ce_causationid", envelope.causationid.encode()))
    if envelope.cancellationid is not None:
        headers.append(("ce_cancellationid", envelope.cancellationid.encode()))
    if envelope.sequence is not None:
        headers.append(("ce_sequence", b"%d" % envelope.sequence))
    if envelope.expirytime is not None:
        headers.append(("ce_expirytime", rfc3339(envelope.expirytime).encode()))
    if envelope.traceparent is not None:
        headers.append(("traceparent", envelope.traceparent.encode()))
