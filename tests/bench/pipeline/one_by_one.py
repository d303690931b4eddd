"""The plain way: one command after the other, with the same libraries, tables and guarantees.

`python -m tests.bench.pipeline.one_by_one FILE`. For each: one transaction locks, decides and records with the event;
the Job is deleted; one transaction finishes with its event; both events are published, marked, and the offset
committed. It has it easier than a real one: the intent goes with the decision, and nothing is retried or rebalanced.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from uuid import UUID

import asyncpg
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from evaluation_cancel.consumer.domain.commands import ReceivedCommand, received
from evaluation_cancel.consumer.domain.decisions import Accepted, Asked, EvaluationSeen, decide_command
from evaluation_cancel.consumer.domain.messages import Message, pack_headers
from evaluation_cancel.consumer.settings import ConsumerSettings
from evaluation_cancel.consumer.wiring import outcome_events
from evaluation_cancel.schemas.events import Evidence
from evaluation_cancel.schemas.identifiers import uuid7
from evaluation_cancel.schemas.settings.loading import load_settings
from evaluation_cancel.schemas.wire.codec import RawRecord, decode_command
from tests.bench.kubernetes.instant_jobs import InstantJobs
from tests.bench.pipeline import one_by_one_sql as sql
from tests.bench.pipeline.reader import write

Connection = asyncpg.Connection
Queued = tuple[Message, int, int]
"""A message, its sequence, and its row in the outbox."""


class OneByOne:
    def __init__(self, settings: ConsumerSettings, connection: Connection, producer: AIOKafkaProducer) -> None:
        self._events = outcome_events(settings)
        self._connection = connection
        self._producer = producer
        self._jobs = InstantJobs()

    async def handle(self, record: RawRecord) -> None:
        command = received(record, *decode_command(record), lambda _source: False)
        async with self._connection.transaction():
            cancellation, accepted = await self._accept(command)
        await self._jobs.delete("bench", str(command.evaluation_id), str(command.evaluation_id))
        async with self._connection.transaction():
            ended = await self._connection.fetchrow(sql.END, cancellation)
            assert ended is not None
            await self._connection.execute(sql.CANCEL, command.evaluation_id, ended["ended_at"])
            evidence = Evidence(job=str(command.evaluation_id))
            cancelled = self._events.cancelled(ended, [command.id], evidence)
            finished = await self._add(cancelled)
        await self._publish([accepted, finished])

    async def _accept(self, command: ReceivedCommand) -> tuple[UUID, Queued]:
        connection = self._connection
        now = await connection.fetchval("SELECT now()")
        row = await connection.fetchrow(sql.LOCK, command.evaluation_id)
        assert row is not None
        fence = await connection.fetchval(sql.FENCE, command.evaluation_id)
        assert await connection.fetchval(sql.KNOWN, command.source, command.id) is None
        seen = EvaluationSeen(
            team_id=row["team_id"], status=row["status"], cluster=row["cluster"], open_cancellation=fence
        )
        decision = decide_command(Asked(team_ids=frozenset(command.team_ids), expires_at=command.expires_at), seen, now)
        assert isinstance(decision, Accepted)
        cancellation = uuid7()
        await connection.execute(sql.INSERT_COMMAND, *sql.command_row(command, seen, cancellation))
        await connection.execute(sql.OPEN, *sql.cancellation_row(command, seen, cancellation))
        await connection.execute(sql.TOUCH, command.evaluation_id)
        await connection.execute(sql.SAVE_OFFSET, command.topic, command.partition, command.offset + 1)
        return cancellation, await self._add(self._events.accepted(command, seen, cancellation, now))

    async def _add(self, message: Message) -> Queued:
        packed = pack_headers(message.headers)
        fields = (message.event_id, message.type, message.evaluation_id, message.topic, message.key, message.value)
        row = await self._connection.fetchrow(sql.ADD, *fields, packed)
        assert row is not None
        return message, row["message_id"], row["id"]

    async def _publish(self, queued: Sequence[Queued]) -> None:
        for message, sequence, _ in queued:
            headers = [*message.headers, ("ce_sequence", b"%d" % sequence)]
            await self._producer.send_and_wait(message.topic, message.value, key=message.key, headers=headers)
        await self._connection.execute(sql.PUBLISHED, [row for _, _, row in queued])


async def run(settings: ConsumerSettings, begun_file: str) -> None:
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    producer = AIOKafkaProducer(acks="all", enable_idempotence=True, **settings.kafka_client())
    consumer = AIOKafkaConsumer(
        settings.topics.commands,
        group_id=settings.group_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level=settings.kafka_isolation_level,
        **settings.kafka_client(),
    )
    write(begun_file, str(time.time()))
    await producer.start()
    await consumer.start()
    handler = OneByOne(settings, connection, producer)
    async for record in consumer:
        await handler.handle(RawRecord.of(record))
        await consumer.commit({TopicPartition(record.topic, record.partition): record.offset + 1})


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(load_settings(ConsumerSettings), sys.argv[1]))
