"""Builds the events of a cancellation, and dead letters, as encoded messages for the outbox. Pure.

An event's id follows from its command, so that building the event again gives the same one. `outbox/` publishes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from evaluation_cancel.consumer.domain.commands import CommandKey, ReceivedCommand
from evaluation_cancel.consumer.domain.decisions import EvaluationSeen, Rejected
from evaluation_cancel.consumer.domain.errors import scrub
from evaluation_cancel.consumer.domain.messages import Message
from evaluation_cancel.consumer.domain.rows import EndedCancellation, EndedCleanup
from evaluation_cancel.schemas.envelope import TYPE_PREFIX, Envelope, schema_uri
from evaluation_cancel.schemas.events import (
    EVENT_TYPES,
    Actor,
    EvaluationArtifactsCleaned,
    EvaluationCancelAccepted,
    EvaluationCancelFailed,
    EvaluationCancelled,
    EvaluationCancelRejected,
    Event,
    Evidence,
    dead_letter_id,
    event_id,
)
from evaluation_cancel.schemas.wire.codec import RawRecord, UndecodableRecord, dead_letter, encode_event

DEAD_LETTER: Final = "DeadLetter"


class _Trace(NamedTuple):
    traceparent: str | None
    correlation_id: str | None


class OutcomeEvents:
    """Builds the messages of one source for an events topic and a dead-letter topic."""

    def __init__(self, *, events_topic: str, dead_letter_topic: str, source: str) -> None:
        self._events_topic = events_topic
        self._dead_letter_topic = dead_letter_topic
        self._source = source

    def accepted(self, command: ReceivedCommand, seen: EvaluationSeen, cancellation: UUID, now: datetime) -> Message:
        """For a command that opened a cancellation of the evaluation `seen`; `now` is the time of the decision."""
        event = EvaluationCancelAccepted(
            evaluation_id=command.evaluation_id,
            cancellation_id=cancellation,
            team_id=seen.team_id,
            status_before=seen.status,
            requested_by=Actor(kind=command.actor_kind, id=command.actor_id),
            reason=command.reason,
            cleanup_artifacts=command.cleanup_artifacts,
            requested_at=command.requested_at,
            accepted_at=now,
        )
        return self._message(event, command.key, now, cancellation, _trace(command))

    def rejected(self, command: ReceivedCommand, decision: Rejected, now: datetime) -> Message:
        """For a rejected command; `now` is the time of the decision."""
        event = EvaluationCancelRejected(
            evaluation_id=command.evaluation_id,
            requested_by=Actor(kind=command.actor_kind, id=command.actor_id),
            code=decision.code,
            status=decision.status,
            ended_at=decision.ended_at,
            cancellation_id=decision.cancellation_id,
        )
        return self._message(event, command.key, now, decision.cancellation_id, _trace(command))

    def cancelled(self, ended: EndedCancellation, commands: Sequence[str], evidence: Evidence) -> Message:
        """For a cancellation that succeeded; `commands` are the ids of the commands that share the outcome."""
        event = EvaluationCancelled(
            evaluation_id=ended.evaluation_id,
            cancellation_id=ended.id,
            team_id=ended.team_id,
            status_before=ended.status_before,
            requested_by=Actor(kind=ended.actor_kind, id=ended.actor_id),
            reason=ended.reason,
            cleanup_artifacts=ended.cleanup,
            requested_at=ended.requested_at,
            accepted_at=ended.accepted_at,
            command_ids=tuple(commands),
            command_count=1 + ended.joined,
            cancelled_at=ended.ended_at,
            evidence=evidence,
        )
        return self._ended(event, ended, ended.ended_at)

    def failed(self, ended: EndedCancellation, commands: Sequence[str]) -> Message:
        """For a cancellation that failed; `commands` are the ids of the commands that share the outcome."""
        event = EvaluationCancelFailed(
            evaluation_id=ended.evaluation_id,
            cancellation_id=ended.id,
            team_id=ended.team_id,
            requested_by=Actor(kind=ended.actor_kind, id=ended.actor_id),
            reason=ended.reason,
            code=ended.error_code,
            detail=ended.error_text,
            accepted_at=ended.accepted_at,
            failed_at=ended.ended_at,
            command_ids=tuple(commands),
            command_count=1 + ended.joined,
        )
        return self._ended(event, ended, ended.ended_at)

    def artifacts_cleaned(self, ended: EndedCleanup, event: EvaluationArtifactsCleaned) -> Message:
        """For a cleanup that is over, with its finished event."""
        return self._ended(event, ended, event.finished_at)

    def dead_letter(self, record: RawRecord, error: UndecodableRecord) -> Message:
        """The unchanged record, with its position and the reason why it could not be handled."""
        encoded = dead_letter(record, error)
        return Message(
            event_id=dead_letter_id(record.topic, record.partition, record.offset),
            type=DEAD_LETTER,
            evaluation_id=None,
            topic=self._dead_letter_topic,
            key=encoded.key,
            value=encoded.value,
            headers=encoded.headers,
        )

    def _ended(self, event: Event, row: EndedCancellation | EndedCleanup, at: datetime) -> Message:
        trace = _Trace(row.traceparent, row.correlation_id)
        return self._message(event, CommandKey(row.command_source, row.command_id), at, row.id, trace)

    def _message(
        self, event: Event, command: CommandKey, at: datetime, cancellation: UUID | None, trace: _Trace
    ) -> Message:
        name = type(event).__name__
        identity = event_id(*command, name)
        envelope = Envelope(
            id=str(identity),
            source=self._source,
            type=TYPE_PREFIX + name,
            time=at,
            dataschema=schema_uri(name),
            causationid=command.id,
            cancellationid=None if cancellation is None else str(cancellation),
            traceparent=trace.traceparent,
            correlationid=trace.correlation_id,
        )
        encoded = encode_event(envelope, event)
        return Message(
            event_id=identity,
            type=name,
            evaluation_id=event.evaluation_id,
            topic=self._events_topic,
            key=encoded.key,
            value=encoded.value,
            headers=encoded.headers,
        )


def events_of_command(source: str, command_id: str) -> list[UUID]:
    """The ids of all events that this command can have caused."""
    return [event_id(source, command_id, name) for name in EVENT_TYPES]


def _trace(command: ReceivedCommand) -> _Trace:
    return _Trace(command.traceparent, command.correlation_id)


def unstorable(events: OutcomeEvents, command: ReceivedCommand, error: Exception) -> list[Message]:
    """The dead letter of a command with a value that Postgres will never store."""
    return _letter(events, command, "unstorable", "data", scrub(str(error)))


def id_reused(events: OutcomeEvents, command: ReceivedCommand) -> list[Message]:
    """The dead letter of a command whose source and id were used before for a different command."""
    problem = "was used before for another command; give each command an id of its own"
    return _letter(events, command, "id_reused", "id", problem)


def _letter(events: OutcomeEvents, command: ReceivedCommand, code: str, field: str, problem: str) -> list[Message]:
    if command.record is None:
        return []  # read back from the inbox, so it was stored: neither case is possible
    error = UndecodableRecord(
        code=code,
        field=field,
        problem=problem,
        topic=command.topic,
        partition=command.partition,
        offset=command.offset,
    )
    return [events.dead_letter(command.record, error)]
