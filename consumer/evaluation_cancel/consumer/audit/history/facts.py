"""The facts of one record, for filters and timelines. Read leniently: an invalid record gives the facts it has.

`verify` decodes records strictly instead (`strict.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson

from evaluation_cancel.schemas.envelope import TYPE_PREFIX
from evaluation_cancel.schemas.events import bare_command_id
from evaluation_cancel.schemas.wire.codec import BARE_SOURCE
from evaluation_cancel.schemas.wire.records import RawRecord

DEAD_LETTER: Final = "DeadLetter"
COMMAND: Final = "CancelEvaluation"
_PREFIX: Final = TYPE_PREFIX.encode()
_DECISIONS: Final = {"EvaluationCancelAccepted": ("accepted",), "EvaluationCancelRejected": ("rejected",)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """The facts of one record. Each is None or empty if the record does not have it."""

    type: str | None
    """Short name, such as `EvaluationCancelled`, or `DeadLetter`."""
    id: str | None = None
    source: str | None = None
    sequence: str | None = None
    causation: str | None = None
    """The id of the command that caused the event."""
    cancellation: str | None = None
    evaluation: str | None = None
    team: str | None = None
    acts_for: tuple[str, ...] = ()
    """The teams in whose name a command's actor acts."""
    actor: str | None = None
    actor_kind: str | None = None
    """`user` or `service`."""
    reason: str | None = None
    decisions: tuple[str, ...] = ()
    """`accepted`, or `rejected` and its code."""
    code: str | None = None
    """The code of a rejection, a failure or a dead letter."""
    data: Any = None
    """The message's JSON object; of a dead letter its `dlq_…` headers without the prefix."""


def short_type(record: RawRecord) -> str | None:
    """The record's type, as in `Facts.type`. Read from the headers if possible, which is faster."""
    headers = dict(record.headers)
    if "dlq_code" in headers:
        return DEAD_LETTER
    named = headers.get("ce_type")
    if named is not None and headers.get("content-type") == b"application/json":
        return named.removeprefix(_PREFIX).decode("utf-8", "replace")
    return facts_of(record).type


def facts_of(record: RawRecord) -> Facts:
    """Read the facts of a record. Never raises, whatever the record holds."""
    headers = {name: (text or b"").decode("utf-8", "replace") for name, text in record.headers}
    data = _object(record.value)
    if "dlq_code" in headers:
        return _dead_letter(headers, data)
    structured = headers.get("content-type", "").lower().startswith("application/cloudevents")
    attributes = {k.removeprefix("ce_"): v for k, v in headers.items() if k.startswith("ce_")}
    if structured and data is not None:
        attributes = {k: str(v) for k, v in data.items() if k != "data" and v is not None}
        data = data.get("data") if isinstance(data.get("data"), dict) else None
    kind = attributes.get("type", "").removeprefix(TYPE_PREFIX)
    if not attributes and data is not None:
        kind, attributes = COMMAND, _bare(record, data)
    return _of_message(kind, attributes, data or {})


def _bare(record: RawRecord, data: dict[str, Any]) -> dict[str, str]:
    identity = _text(data.get("id")) or str(bare_command_id(record.topic, record.partition, record.offset))
    return {"source": BARE_SOURCE, "id": identity}


def _of_message(kind: str, attributes: dict[str, str], data: dict[str, Any]) -> Facts:
    requester = data.get("requested_by")
    requester = requester if isinstance(requester, dict) else {}
    teams = requester.get("team_ids")
    code = _text(data.get("code"))
    decisions = _DECISIONS.get(kind, ())
    return Facts(
        type=kind or None,
        id=attributes.get("id"),
        source=attributes.get("source"),
        sequence=attributes.get("sequence"),
        causation=attributes.get("causationid"),
        cancellation=attributes.get("cancellationid") or _text(data.get("cancellation_id")),
        evaluation=_text(data.get("evaluation_id")) or attributes.get("subject"),
        team=_text(data.get("team_id")),
        acts_for=tuple(t for t in teams if isinstance(t, str)) if isinstance(teams, list) else (),
        actor=_text(requester.get("id")),
        actor_kind=_text(requester.get("kind")),
        reason=_text(data.get("reason")),
        decisions=(*decisions, code) if decisions and code else decisions,
        code=code,
        data=data,
    )


def _dead_letter(headers: dict[str, str], data: dict[str, Any] | None) -> Facts:
    """The reason of the dead letter, and the facts of the original record."""
    requester = (data or {}).get("requested_by")
    return Facts(
        type=DEAD_LETTER,
        id=headers.get("dlq_id"),
        source=headers.get("ce_source"),
        causation=headers.get("ce_id"),
        evaluation=_text((data or {}).get("evaluation_id")),
        actor=_text(requester.get("id")) if isinstance(requester, dict) else None,
        code=headers.get("dlq_code"),
        data={name.removeprefix("dlq_"): text for name, text in headers.items() if name.startswith("dlq_")},
    )


def _object(value: bytes | None) -> dict[str, Any] | None:
    if not value:
        return None
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
