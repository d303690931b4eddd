"""Answers commands on Kafka as a consumer does, with the outcome that a test chose for each evaluation."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from evaluation_cancel.schemas.commands import CancelEvaluation
from evaluation_cancel.schemas.envelope import TYPE_PREFIX, Envelope
from evaluation_cancel.schemas.events import (
    Actor,
    EvaluationCancelAccepted,
    EvaluationCancelFailed,
    EvaluationCancelled,
    EvaluationCancelRejected,
    Event,
    Evidence,
    event_id,
)
from evaluation_cancel.schemas.topics import Topics
from evaluation_cancel.schemas.wire.codec import RawRecord, UndecodableRecord, dead_letter, decode_command, encode_event

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def answers(outcome: str, envelope: Envelope, command: CancelEvaluation) -> list[Event]:
    """The events for an outcome: `accepted`, `cancelled`, `failed`, or the code of a rejection."""
    actor = Actor(kind=command.requested_by.kind, id=command.requested_by.id)
    base: dict[str, Any] = {"evaluation_id": command.evaluation_id, "requested_by": actor}
    team = base | {"cancellation_id": uuid4(), "team_id": "team-7", "accepted_at": NOON}
    ended = {"command_ids": (envelope.id,), "command_count": 1}
    accepted = EvaluationCancelAccepted(**team, status_before="running")
    match outcome:
        case "accepted":
            return [accepted]
        case "cancelled":
            end = EvaluationCancelled(
                **team, **ended, status_before="running", cancelled_at=NOON, evidence=Evidence(job="uid")
            )
            return [accepted, end]
        case "failed":
            failure = EvaluationCancelFailed(**team, **ended, code="rbac_denied", detail="forbidden", failed_at=NOON)
            return [accepted, failure]
        case code:
            return [EvaluationCancelRejected(**base, code=code)]


async def publish(producer: AIOKafkaProducer, topics: Topics, cause: tuple[str, str], events: Sequence[Event]) -> None:
    for event in events:
        name = type(event).__name__
        envelope = Envelope(
            id=str(event_id(*cause, name)), source="/responder", type=TYPE_PREFIX + name, causationid=cause[1]
        )
        encoded = encode_event(envelope, event)
        await producer.send_and_wait(topics.events, encoded.value, key=encoded.key, headers=encoded.headers)


@asynccontextmanager
async def responder(address: str, topics: Topics, outcomes: Mapping[UUID, str]) -> AsyncIterator[None]:
    """Answer until the context ends. `outcomes` maps evaluations to one, or to `dead_letter`; others get none."""
    consumer = AIOKafkaConsumer(topics.commands, bootstrap_servers=address, auto_offset_reset="earliest")
    producer = AIOKafkaProducer(bootstrap_servers=address)

    async def answer(raw: RawRecord) -> None:
        envelope, command = decode_command(raw)
        outcome = outcomes.get(command.evaluation_id)
        if outcome == "dead_letter":
            error = UndecodableRecord(
                code="id_reused",
                field="id",
                problem="means something else",
                topic=raw.topic,
                partition=raw.partition,
                offset=raw.offset,
            )
            letter = dead_letter(raw, error)
            await producer.send_and_wait(topics.dead_letters, letter.value, key=letter.key, headers=letter.headers)
        elif outcome is not None:
            source_and_id = (envelope.source, envelope.id)
            await publish(producer, topics, source_and_id, answers(outcome, envelope, command))

    async def work() -> None:
        async for record in consumer:
            await answer(RawRecord.of(record))

    async with consumer, producer:
        working = asyncio.create_task(work())
        try:
            yield
        finally:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working
