"""Intake on the test's own topics and database, started and stopped as the test needs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.local.stand.stack import Stack
from evaluation_cancel.consumer.domain.events import OutcomeEvents
from evaluation_cancel.consumer.intake.decide import Decided, DecisionService
from evaluation_cancel.consumer.intake.loop import Intake
from evaluation_cancel.consumer.kafka.command_reader import KafkaCommandReader
from evaluation_cancel.consumer.sql import commands
from evaluation_cancel.schemas.topics import Topics
from tests.support.consumer.postgres_env import PostgresEnv


class IntakeEnv:
    """One intake on the test's own topics and database, started and stopped as the test likes."""

    def __init__(self, environment: Stack, topics: Topics, postgres_env: PostgresEnv) -> None:
        self.environment = environment
        self.topics = topics
        self.postgres_env = postgres_env
        self.events = OutcomeEvents(events_topic=topics.events, dead_letter_topic=topics.dead_letters, source="urn:t")
        self.group = f"{topics.prefix}group"
        self.client = {"bootstrap_servers": environment.kafka.bootstrap_servers}
        self.counts: dict[str, int] = {}
        self.records = 0
        self.reader: type[KafkaCommandReader] = KafkaCommandReader

    def intake(self, decide: DecisionService | None = None) -> Intake:
        async def saved() -> dict[int, int]:
            async with self.postgres_env.database.connection() as tx:
                return await commands.saved_offsets(tx, self.topics.commands)

        isolation = "read_uncommitted" if self.environment.kafka.kind == "memory" else "read_committed"
        reader = self.reader(
            topic=self.topics.commands,
            group_id=self.group,
            client_settings=lambda: self.client,
            isolation_level=isolation,
            batch=500,
            poll_ms=50,
            saved_offsets=saved,
        )
        return Intake(
            reader=reader,
            decide=decide or DecisionService(self.postgres_env.database, self.events, self.postgres_env.eager_claims),
            events=self.events,
            every_team_sources=frozenset(),
            accept_bare=True,
            on_decided=self.count,
            wait_for_capacity=self.postgres_env.eager_claims.wait_for_capacity,
        )

    def count(self, decided: Decided, records: int) -> None:
        self.records += records
        for what, n in decided.counts.items():
            self.counts[what] = self.counts.get(what, 0) + n

    @asynccontextmanager
    async def open(self, decide: DecisionService | None = None) -> AsyncIterator[Intake]:
        intake = self.intake(decide)
        running = asyncio.create_task(intake.run())
        try:
            yield intake
        finally:
            intake.stop()
            await running

    async def send(self, *values: bytes, key: bytes | None = None) -> None:
        async with AIOKafkaProducer(**self.client) as producer:
            for value in values:
                await producer.send_and_wait(self.topics.commands, value, key=key)

    async def committed(self) -> int:
        """The sum of the group's offsets."""
        async with AIOKafkaConsumer(group_id=self.group, enable_auto_commit=False, **self.client) as consumer:
            partitions = await partitions_of(consumer, self.topics.commands)
            return sum([await consumer.committed(partition) or 0 for partition in partitions])


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    await consumer._client.set_topics([topic])
    return [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic) or ()]


def bare(evaluation: UUID, **changes: object) -> bytes:
    asked = {"kind": "user", "id": "ada", "team_ids": ["blue"]}
    return json.dumps({"evaluation_id": str(evaluation), "requested_by": asked, **changes}).encode()
