"""Records that decoding must refuse, each with the code and the field of the refusal."""

import json
from typing import Any

from evaluation_cancel.schemas.wire.codec import MAX_VALUE_BYTES
from evaluation_cancel.schemas.wire.records import RawRecord
from tests.support.schemas.examples import COMMAND_TYPE, DATA, HEADERS, record

BY = DATA["requested_by"]
CLOUD_EVENT = {"content-type": b"application/cloudevents+json"}
STRUCTURED = {"specversion": "1.0", "id": "command-2", "source": "/sdk", "type": COMMAND_TYPE, "data": DATA}
GOOD = json.dumps(DATA).encode()


def data(**changes: Any) -> RawRecord:
    return record(DATA | changes)


def headers(**changes: bytes | None) -> RawRecord:
    renamed = {name.replace("content_type", "content-type"): raw for name, raw in changes.items()}
    return record(headers=tuple((HEADERS | renamed).items()))


def without(name: str) -> RawRecord:
    return record(headers={key: raw for key, raw in HEADERS.items() if key != name})


def extra(text: bytes) -> RawRecord:
    """A good command with one more field that no reader knows."""
    return record(GOOD[:-1] + b', "extra": ' + text + b"}")


def structured(**changes: Any) -> RawRecord:
    return record(STRUCTURED | changes, CLOUD_EVENT)


def nothing() -> RawRecord:
    return RawRecord(topic="commands", partition=3, offset=42, timestamp_ms=0, key=None, value=None, headers=())


UNDECODABLE: dict[str, tuple[RawRecord, str, str]] = {
    "no value": (nothing(), "no_value", "value"),
    "too large": (record(b'{"x":"' + b"a" * MAX_VALUE_BYTES + b'"}'), "too_large", "value"),
    "empty value": (record(b""), "not_json", "value"),
    "no JSON": (record(b"cancel it please"), "not_json", "value"),
    "no UTF-8": (extra(b'"\xff\xfe"'), "not_json", "value"),
    "byte order mark": (record(b"\xef\xbb\xbf" + GOOD), "not_json", "value"),
    "NaN": (extra(b"NaN"), "not_json", "value"),
    "number beyond a double": (extra(b"1e999999"), "out_of_range", "value"),
    "lone surrogate in a field": (record(GOOD.replace(b"wrong", b"\\ud800")), "invalid_text", "value"),
    "lone surrogate in an unknown field": (extra(b'"\\udc00"'), "invalid_text", "value"),
    "a thousand deep": (extra(b"[" * 1000 + b"]" * 1000), "too_deep", "value"),
    "a hundred thousand deep": (record(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, {}), "too_large", "value"),
    "endlessly deep": (extra(b"[" * 2000), "too_deep", "value"),
    "an array": (record(b"[]"), "invalid_field", "data"),
    "a bare number": (record(b"1", {}), "invalid_field", "data"),
    "a bare null": (record(b"null", {}), "invalid_field", "data"),
    "NUL in the reason": (data(reason="a\x00b"), "invalid_text", "reason"),
    "NUL in the actor": (data(requested_by=BY | {"id": "a\x00"}), "invalid_text", "requested_by.id"),
    "NUL in a team": (data(requested_by=BY | {"team_ids": ["\x00"]}), "invalid_text", "requested_by.team_ids.0"),
    "reason too long": (data(reason="a" * 1025), "out_of_range", "reason"),
    "actor too long": (data(requested_by=BY | {"id": "a" * 513}), "out_of_range", "requested_by.id"),
    "actor too long in bytes": (data(requested_by=BY | {"id": "ж" * 257}), "out_of_range", "requested_by.id"),
    "too many teams": (data(requested_by=BY | {"team_ids": ["t"] * 1001}), "out_of_range", "requested_by.team_ids"),
    "empty team": (data(requested_by=BY | {"team_ids": [""]}), "invalid_field", "requested_by.team_ids.0"),
    "no evaluation": (record({"requested_by": BY}), "missing_field", "evaluation_id"),
    "evaluation that is no UUID": (data(evaluation_id="42"), "invalid_field", "evaluation_id"),
    "evaluation that is a number": (data(evaluation_id=2**63), "invalid_field", "evaluation_id"),
    "actor of unknown kind": (data(requested_by=BY | {"kind": "robot"}), "invalid_field", "requested_by.kind"),
    "cleanup that is a word": (data(cleanup_artifacts="yes"), "invalid_field", "cleanup_artifacts"),
    "cleanup that is a number": (data(cleanup_artifacts=1), "invalid_field", "cleanup_artifacts"),
    "reason that is a number": (data(reason=2**64), "invalid_field", "reason"),
    "key of another evaluation": (record(key=b"00000000-0000-4000-8000-000000000000"), "key_mismatch", "key"),
    "key that is no UUID": (record(key=b"tenant-7"), "key_mismatch", "key"),
    "key that is no UTF-8": (record(key=b"\xff\xfe"), "key_mismatch", "key"),
    "empty key": (record(key=b""), "key_mismatch", "key"),
    "header name that is no UTF-8": (headers(**{"x-\udcff": b"1"}), "invalid_header", "headers"),
    "CloudEvents name that is no UTF-8": (headers(**{"ce_\udcff": b"1"}), "invalid_header", "headers"),
    "content type that is no UTF-8": (headers(content_type=b"\xff"), "invalid_header", "content-type"),
    "surrogate in UTF-8": (headers(ce_id=b"\xed\xa0\x80"), "invalid_header", "ce_id"),
    "NUL in a header": (headers(ce_source=b"/a\x00"), "invalid_text", "ce_source"),
    "id too long": (headers(ce_id=b"a" * 513), "out_of_range", "ce_id"),
    "id too long in bytes": (headers(ce_id="ж".encode() * 257), "out_of_range", "ce_id"),
    "source too long": (headers(ce_source=b"a" * 513), "out_of_range", "ce_source"),
    "no specversion": (without("ce_specversion"), "missing_field", "specversion"),
    "no id": (without("ce_id"), "missing_field", "id"),
    "empty id": (headers(ce_id=b""), "missing_field", "id"),
    "absent id": (headers(ce_id=None), "missing_field", "id"),
    "no source": (without("ce_source"), "missing_field", "source"),
    "no type": (without("ce_type"), "missing_field", "type"),
    "specversion 0.3": (headers(ce_specversion=b"0.3"), "unsupported_version", "specversion"),
    "unknown type": (headers(ce_type=b"ai.vijil.evaluations.v1.PauseEvaluation"), "unknown_type", "type"),
    "stranger's type": (headers(ce_type=b"com.example.CancelEvaluation"), "unknown_type", "type"),
    "newer version": (headers(ce_type=b"ai.vijil.evaluations.v2.CancelEvaluation"), "unsupported_version", "type"),
    "two ids": (headers(**{"ce-id": b"other"}), "ambiguous", "ce_id"),
    "two ids in one spelling": (record(headers=(*HEADERS.items(), ("ce_id", b"other"))), "ambiguous", "ce_id"),
    "an extension and nothing else": (record(GOOD, {"ce_region": b"eu"}), "missing_field", "specversion"),
    "expiry that is none": (headers(ce_expirytime=b"soon"), "invalid_field", "expirytime"),
    "structured by its value, without id": (record(STRUCTURED | {"id": None}, {}), "missing_field", "id"),
    "Avro": (headers(content_type=b"application/avro"), "unsupported_format", "content-type"),
    "Protobuf": (headers(content_type=b"application/x-Protobuf"), "unsupported_format", "content-type"),
    "framed Avro": (record(b"\x00\x00\x00\x00\x07\x0a\x02ab"), "unsupported_format", "value"),
    "framed bare Protobuf": (record(b"\x00\x00\x00\x00\x07\x00\x0a\x02ab", {}), "unsupported_format", "value"),
    "frame of nothing": (record(b"\x00\x00"), "unsupported_format", "value"),
    "framed broken JSON": (record(b"\x00\x00\x00\x00\x07{"), "not_json", "value"),
    "structured Avro": (headers(content_type=b"application/cloudevents+avro"), "unsupported_format", "content-type"),
    "batch": (
        record(b"[]", {"content-type": b"application/cloudevents-batch+json"}),
        "unsupported_format",
        "content-type",
    ),
    "structured array": (record(b"[]", CLOUD_EVENT), "invalid_field", "value"),
    "structured without version": (structured(specversion=None), "missing_field", "specversion"),
    "structured 0.3": (structured(specversion="0.3"), "unsupported_version", "specversion"),
    "structured without data": (structured(data=None), "invalid_field", "data"),
    "structured with data as text": (structured(data="{}"), "invalid_field", "data"),
    "structured with broken base64": (structured(data_base64="*"), "invalid_field", "data_base64"),
    "structured with base64 of a number": (structured(data_base64=1), "invalid_field", "data_base64"),
    "structured with non-ASCII base64": (structured(data_base64="é"), "invalid_field", "data_base64"),
    "structured data of another kind": (
        structured(datacontenttype="application/protobuf"),
        "unsupported_format",
        "content-type",
    ),
    "structured with an object for an id": (structured(id={}), "invalid_field", "id"),
    "structured with NUL": (structured(source="\x00"), "invalid_text", "source"),
    "year 9999": (headers(ce_expirytime=b"9999-12-31T23:59:59-14:00"), "out_of_range", "expirytime"),
    "bare id that is a number": (record(DATA | {"id": 7}, {}), "invalid_field", "id"),
    "bare id that is an object": (record(DATA | {"id": {}}, {}), "invalid_field", "id"),
    "bare id that is empty": (record(DATA | {"id": ""}, {}), "missing_field", "id"),
    "bare id with NUL": (record(DATA | {"id": "\x00"}, {}), "invalid_text", "id"),
    "bare id too long": (record(DATA | {"id": "a" * 513}, {}), "out_of_range", "id"),
}
