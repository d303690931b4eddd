"""Received commands for tests of intake and decisions."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from evaluation_cancel.consumer.domain.commands import ReceivedCommand, received
from evaluation_cancel.consumer.domain.events import OutcomeEvents
from evaluation_cancel.schemas.commands import CancelEvaluation
from evaluation_cancel.schemas.envelope import TYPE_PREFIX, Envelope
from evaluation_cancel.schemas.wire.records import RawRecord

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
EVENTS = OutcomeEvents(events_topic="events", dead_letter_topic="dlq", source="urn:test")
_offsets = itertools.count()


def command(
    evaluation_id: UUID | None = None,
    *,
    id: str | None = None,  # noqa: A002  # CloudEvents' name
    source: str = "urn:tests",
    team: str = "blue",
    actor: str = "ada",
    reason: str | None = "too slow",
    cleanup: bool = False,
    every_team: bool = False,
    expires_at: datetime | None = None,
    topic: str = "commands",
) -> ReceivedCommand:
    """A command as intake decodes it, at the next offset of partition 0."""
    evaluation_id = evaluation_id or uuid4()
    data: dict[str, Any] = {"kind": "user", "id": actor, "team_ids": (team,)}
    message = CancelEvaluation(evaluation_id=evaluation_id, requested_by=data, reason=reason, cleanup_artifacts=cleanup)
    envelope = Envelope(
        id=id or str(uuid4()), source=source, type=TYPE_PREFIX + "CancelEvaluation", time=NOW, expirytime=expires_at
    )
    record = RawRecord(
        topic=topic,
        partition=0,
        offset=next(_offsets),
        timestamp_ms=0,
        key=str(evaluation_id).encode(),
        value=message.model_dump_json().encode(),
        headers=(),
    )
    return received(record, envelope, message, lambda _source: every_team)
