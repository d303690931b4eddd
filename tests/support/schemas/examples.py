"""Valid messages, which tests change one field at a time."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from evaluation_cancel.schemas.commands import CancelEvaluation, RequestedBy
from evaluation_cancel.schemas.envelope import TYPE_PREFIX, Envelope
from evaluation_cancel.schemas.events import Actor, EvaluationCancelAccepted, EvaluationCancelled, Evidence, PodEnded
from evaluation_cancel.schemas.wire.records import EncodedRecord, RawRecord

EVALUATION = UUID("3f1c9a52-7d0e-4c1b-9f6a-0d2b8c4e5a61")
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
COMMAND_TYPE = f"{TYPE_PREFIX}CancelEvaluation"
DATA: dict[str, Any] = {
    "evaluation_id": str(EVALUATION),
    "requested_by": {"kind": "user", "id": "ada", "team_ids": ["team-7"]},
    "reason": "wrong model",
}
HEADERS = {"ce_specversion": b"1.0", "ce_id": b"command-1", "ce_source": b"/tests", "ce_type": COMMAND_TYPE.encode()}
COMMAND = CancelEvaluation(
    evaluation_id=EVALUATION,
    requested_by=RequestedBy(kind="user", id="ada", team_ids=("team-7",)),
    reason="wrong model",
)
ACCEPTED = EvaluationCancelAccepted(
    evaluation_id=EVALUATION,
    cancellation_id=UUID(int=7),
    team_id="team-7",
    status_before="running",
    requested_by=Actor(kind="user", id="ada"),
    accepted_at=NOON,
)
CANCELLED = EvaluationCancelled(
    **dict(ACCEPTED),
    command_ids=("command-1",),
    command_count=1,
    cancelled_at=NOON,
    evidence=Evidence(job="job-uid", pods=(PodEnded(name="pod", gone_at=NOON),), pod_count=1),
)


def envelope(short_type: str, **attributes: Any) -> Envelope:
    return Envelope(**{"id": "message-1", "source": "/tests", "type": TYPE_PREFIX + short_type, **attributes})


def record(
    value: bytes | dict[str, Any] | None = None,
    headers: dict[str, bytes] | tuple[tuple[str, bytes | None], ...] | None = None,
    key: bytes | None = None,
) -> RawRecord:
    """A valid command by default, at the position commands[3]@42."""
    headers = HEADERS if headers is None else headers
    value = DATA if value is None else value
    return RawRecord(
        topic="commands",
        partition=3,
        offset=42,
        timestamp_ms=1_700_000_000_000,
        key=key,
        value=json.dumps(value).encode() if isinstance(value, dict) else value,
        headers=tuple(headers.items()) if isinstance(headers, dict) else headers,
    )


def as_read(encoded: EncodedRecord, topic: str = "commands") -> RawRecord:
    """The record as a consumer reads it."""
    return RawRecord(
        topic=topic,
        partition=0,
        offset=0,
        timestamp_ms=0,
        key=encoded.key,
        value=encoded.value,
        headers=tuple(encoded.headers),
    )
