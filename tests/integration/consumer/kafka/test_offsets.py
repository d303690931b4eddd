"""The group's lag is 0 when nothing waits: behind control records, aborted transactions, and without any record."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from deploy.local.stand.stack import Stack
from evaluation_cancel.consumer.kafka.command_reader import KafkaCommandReader
from evaluation_cancel.schemas.topics import Topics
from tests.support.consumer.intake_env import IntakeEnv, bare, partitions_of
from tests.support.consumer.postgres_env import PostgresEnv
from tests.support.environment import unique
from tests.support.waiting import until


@pytest.fixture
async def intake_env(environment: Stack, topics: Topics, postgres_env: PostgresEnv) -> IntakeEnv:
    return IntakeEnv(environment, topics, postgres_env)


async def lag(env: IntakeEnv) -> list[int | None]:
    """Of each partition, as an autoscaler computes it; None where nothing was ever committed."""
    async with AIOKafkaConsumer(group_id=env.group, enable_auto_commit=False, **env.client) as consumer:
        partitions = await partitions_of(consumer, env.topics.commands)
        ends = await consumer.end_offsets(partitions)
        committed = [await consumer.committed(partition) for partition in partitions]
    return [None if at is None else ends[p] - at for p, at in zip(partitions, committed, strict=True)]


async def nothing_waits(env: IntakeEnv) -> bool:
    found = await lag(env)
    return bool(found) and all(each == 0 for each in found)


async def test_partitions_without_records_are_committed_too(intake_env: IntakeEnv) -> None:
    await intake_env.send(bare(await intake_env.postgres_env.evaluation()))
    async with intake_env.open():
        await until(lambda: nothing_waits(intake_env), "the lag of every partition is 0", within=60)


@pytest.mark.real
@pytest.mark.parametrize("aborts", [False, True])
async def test_the_markers_of_transactions_leave_no_lag(intake_env: IntakeEnv, aborts: bool) -> None:
    evaluations = [await intake_env.postgres_env.evaluation() for _ in range(6)]
    async with intake_env.open():
        async with AIOKafkaProducer(**intake_env.client, transactional_id=unique("tx")) as producer:
            for evaluation in evaluations:
                await producer.begin_transaction()
                await producer.send_and_wait(intake_env.topics.commands, bare(evaluation))
                await (producer.abort_transaction() if aborts else producer.commit_transaction())
        await until(lambda: nothing_waits(intake_env), "the lag of every partition is 0", within=60)
    assert intake_env.counts == ({} if aborts else {"accepted": 6})


async def test_a_position_that_postgres_was_not_asked_for_is_never_committed(intake_env: IntakeEnv) -> None:
    """Kafka's own may be beyond what a database restored from a backup has."""
    reader = intake_env.intake()._reader
    assert isinstance(reader, KafkaCommandReader)
    await reader.start()
    await until(lambda: reader._assignment.new, "partitions were assigned")
    reader._assignment.new.clear()  # as between the assignment and the word of it
    assert await reader._next_offsets({}) == {}
    await reader.stop()
