"""The consistent history of one evaluation: its records and its rows. Tests of `verify` change single values."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from evaluation_cancel.consumer.audit.history.strict import ArchivedEvaluation, archived_command, archived_event
from evaluation_cancel.consumer.audit.verify.context import Case, Context, DeadLetterSeen, Reach
from evaluation_cancel.consumer.audit.verify.findings import Findings
from evaluation_cancel.consumer.audit.verify.verify import check_evaluation
from evaluation_cancel.consumer.domain.audit_rows import (
    CancellationRow,
    CommandRow,
    EvaluationRow,
    MessageRow,
    StoredEvaluation,
)
from evaluation_cancel.consumer.domain.cancellations import PodGone, TeardownEvidence
from evaluation_cancel.consumer.domain.decisions import DECISION_VERSION
from evaluation_cancel.consumer.domain.evidence import dump_evidence
from evaluation_cancel.consumer.domain.messages import pack_headers
from evaluation_cancel.schemas.events import EvaluationCancelFailed, EvaluationCancelRejected, Event, event_id
from evaluation_cancel.schemas.wire.codec import encode_command, encode_event
from evaluation_cancel.schemas.wire.records import RawRecord
from tests.support.schemas.examples import ACCEPTED, CANCELLED, COMMAND, EVALUATION, NOON, as_read, envelope

NOW = datetime(2026, 11, 24, 18, tzinfo=UTC)
AT = int(NOON.timestamp() * 1000)
CANCELLATION = ACCEPTED.cancellation_id
COMMANDS, EVENTS = "commands", "events"
FAILED = EvaluationCancelFailed(
    **{k: getattr(ACCEPTED, k) for k in ("evaluation_id", "cancellation_id", "team_id", "requested_by", "accepted_at")},
    code="owned_by",
    detail="JobSet",
    failed_at=NOON,
)


POD = PodGone(name="pod", uid="pod-uid", first_seen_at=NOON, gone_at=NOON)


def placed(record: RawRecord, topic: str, offset: int) -> RawRecord:
    return replace(record, topic=topic, offset=offset, timestamp_ms=AT)


def command(offset: int, **changes: Any) -> Any:
    identity = changes.pop("id", "command-1")
    encoded = encode_command(envelope("CancelEvaluation", id=identity), COMMAND.model_copy(update=changes))
    return archived_command(placed(as_read(encoded), COMMANDS, offset), accept_bare=True)


def event(what: Event, offset: int, *, cause: str = "command-1", identity: str | None = None) -> Any:
    short = type(what).__name__
    made = envelope(
        short, id=identity or str(event_id("/tests", cause, short)), causationid=cause, sequence=offset, time=NOON
    )
    return archived_event(placed(as_read(encode_event(made, what)), EVENTS, offset))


def inbox_row(archived: Any, **changes: Any) -> dict[str, Any]:
    asked = archived.command
    topic, partition, offset = archived.position
    return {
        "source": archived.envelope.source,
        "id": archived.envelope.id,
        "evaluation_id": EVALUATION,
        "meaning": asked.meaning(),
        "actor_kind": "user",
        "actor_id": "ada",
        "team_ids": orjson.dumps(asked.requested_by.team_ids).decode(),
        "every_team": False,
        "reason": asked.reason,
        "cleanup_artifacts": False,
        "requested_at": None,
        "expires_at": None,
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "raw_sha256": archived.sha256,
        "received_at": NOON,
        "decision": "accepted",
        "code": None,
        "decided_at": NOON,
        "decision_version": DECISION_VERSION,
        "team_seen": "team-7",
        "status_seen": "running",
        "ended_seen": None,
        "fence_seen": None,
        "cancellation_id": CANCELLATION,
        **changes,
    }


def evaluation_row(status: str) -> dict[str, Any]:
    columns = [field.name for field in fields(EvaluationRow)]
    return dict.fromkeys(columns) | {"id": EVALUATION, "team_id": "team-7", "status": status}


def cancellation_row(**changes: Any) -> dict[str, Any]:
    return {
        "id": CANCELLATION,
        "evaluation_id": EVALUATION,
        "team_id": "team-7",
        "status_before": "running",
        "cluster": None,
        "intent_at": None,
        "attempts": 1,
        "next_attempt_at": NOON,
        "cleanup_error_code": None,
        "cleanup_error_text": None,
        "command_source": "/tests",
        "command_id": "command-1",
        "actor_kind": "user",
        "actor_id": "ada",
        "reason": None,
        "requested_at": None,
        "accepted_at": NOON,
        "ended_at": NOON,
        "phase": "cancelled",
        "last_error_code": None,
        "last_error_text": None,
        "joined": 0,
        "evidence": dump_evidence(TeardownEvidence(job="job-uid", pods=(POD,), pod_count=1)),
        "cleanup_state": "not_requested",
        "cleanup_report": None,
        **changes,
    }


def message_row(archived: Any, **changes: Any) -> dict[str, Any]:
    headers = [h for h in archived.headers if h[0] != "ce_sequence"]
    archived.headers[:] = [*headers, ("ce_sequence", b"%d" % archived.position[2])]  # last, as the outbox sends it
    return {
        "sequence": archived.position[2],
        "event_id": UUID(archived.envelope.id),
        "type": archived.type,
        "evaluation_id": EVALUATION,
        "value": archived.value,
        "headers": pack_headers(headers),
        "created_at": NOON,
        "waiting": False,
        "parked_for": None,
        **changes,
    }


def rejection(**changes: Any) -> EvaluationCancelRejected:
    return EvaluationCancelRejected(
        **{"evaluation_id": EVALUATION, "requested_by": ACCEPTED.requested_by, "code": "forbidden", **changes}
    )


class SoundHistory:
    """A consistent history. Tests change it, then check the findings of `check`."""

    def __init__(self) -> None:
        self.commands = [command(0)]
        self.events = [event(ACCEPTED, 0), event(CANCELLED, 1)]
        self.rows = [inbox_row(self.commands[0])]
        self.cancellations = [cancellation_row()]
        self.messages = [message_row(e) for e in self.events]
        self.evaluation: dict[str, Any] | None = evaluation_row("cancelled")
        self.dead: dict[tuple[str, int, int], DeadLetterSeen] = {}
        self.reach = Reach(next_offsets={(COMMANDS, 0): 100, (EVENTS, 0): 100})
        self.postgres = True
        self.lag = timedelta(hours=1)

    def check(self) -> Findings:
        context = Context(
            findings=Findings(),
            now=NOW,
            lag=self.lag,
            reach=self.reach,
            dead=self.dead,
            commands_topic=COMMANDS,
            events_topic=EVENTS,
            inbox_kept=timedelta(days=30),
            messages_kept=timedelta(days=30),
        )
        stored = StoredEvaluation(
            evaluation=None if self.evaluation is None else EvaluationRow(**self.evaluation),
            commands=[CommandRow(**row) for row in self.rows],
            cancellations=[CancellationRow(**row) for row in self.cancellations],
            messages=[MessageRow(**row) for row in self.messages],
        )
        archived = ArchivedEvaluation(commands=self.commands, events=self.events)
        check_evaluation(
            Case(evaluation_id=EVALUATION, archived=archived, stored=stored if self.postgres else None), context
        )
        return context.findings
