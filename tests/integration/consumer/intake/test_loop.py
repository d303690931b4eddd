"""Intake on Kafka and Postgres: what a record becomes, and what is committed when."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from uuid import uuid4

import asyncpg
import pytest
from aiokafka import TopicPartition

from deploy.local.stand.stack import Stack
from evaluation_cancel.consumer.domain.errors import TemporaryError, Unstorable
from evaluation_cancel.consumer.domain.messages import unpack_headers
from evaluation_cancel.consumer.intake.decide import Batch, Decided, DecisionService
from evaluation_cancel.consumer.kafka.command_reader import KafkaCommandReader
from evaluation_cancel.schemas.topics import Topics
from evaluation_cancel.schemas.wire.records import KEPT_BYTES, MAX_VALUE_BYTES
from tests.support.consumer.intake_env import IntakeEnv, bare
from tests.support.consumer.postgres_env import PostgresEnv, raise_at
from tests.support.schemas.odd_records import send_batch
from tests.support.schemas.undecodable import UNDECODABLE
from tests.support.waiting import until


@pytest.fixture
async def intake_env(environment: Stack, topics: Topics, postgres_env: PostgresEnv) -> IntakeEnv:
    return IntakeEnv(environment, topics, postgres_env)


def kept_of(value: bytes) -> bytes:
    """What a dead letter has of a value."""
    return value if len(value) <= MAX_VALUE_BYTES else value[:KEPT_BYTES]


async def test_every_odd_record_becomes_one_dead_letter_and_the_one_beside_it_is_decided(intake_env: IntakeEnv) -> None:
    postgres_env = intake_env.postgres_env
    traps = {name: (trap, code) for name, (trap, code, _) in UNDECODABLE.items() if trap.key is None}
    good = [await postgres_env.evaluation() for _ in traps]
    for (trap, _), evaluation in zip(traps.values(), good, strict=True):
        odd = [(name, value) for name, value in trap.headers]
        await send_batch(
            intake_env.environment.kafka.bootstrap_servers,
            intake_env.topics.commands,
            [(trap.value, odd), (bare(evaluation), [])],
        )
    async with intake_env.open():
        await until(lambda: intake_env.counts.get("accepted", 0) == len(good), "every good command was accepted")
    letters = await postgres_env.admin.fetch(
        "SELECT value, headers, key FROM evaluation_cancel.messages WHERE type = 'DeadLetter' ORDER BY id"
    )
    assert len(letters) == len(traps)
    told = {(letter["value"], dict(unpack_headers(letter["headers"]))["dlq_code"].decode()) for letter in letters}
    kept = {(None if trap.value is None else kept_of(trap.value), code) for trap, code in traps.values()}
    assert told == kept
    offsets = sorted(int(dict(unpack_headers(letter["headers"]))["dlq_offset"]) for letter in letters)
    assert offsets == list(range(0, 2 * len(traps), 2))


async def test_hundreds_of_undecodable_records_at_once_are_a_few_log_lines(
    intake_env: IntakeEnv, capsys: pytest.CaptureFixture[str]
) -> None:
    await intake_env.send(*(b"odd" for _ in range(500)))
    async with intake_env.open():
        await until(
            lambda: intake_env.postgres_env.count_is("messages", 500, "type = 'DeadLetter'"),
            "each became a dead letter",
        )
    lines = capsys.readouterr().out.count("dead_letter")
    assert 1 <= lines < 100


async def test_a_key_that_disagrees_with_its_evaluation_is_a_dead_letter(intake_env: IntakeEnv) -> None:
    evaluation = await intake_env.postgres_env.evaluation()
    await intake_env.send(bare(evaluation), key=str(uuid4()).encode())
    await intake_env.send(bare(evaluation), key=f"{{{str(evaluation).upper()}}}".encode())
    async with intake_env.open():
        await until(lambda: intake_env.counts == {"accepted": 1}, "the other spelling of the key was understood")
        await until(lambda: intake_env.postgres_env.count_is("messages", 1, "type = 'DeadLetter'"), "one dead letter")


async def test_a_command_that_postgres_cannot_store_is_found_by_halving_and_costs_one_dead_letter(
    intake_env: IntakeEnv,
) -> None:
    postgres_env = intake_env.postgres_env
    good = [await postgres_env.evaluation() for _ in range(9)]
    await postgres_env.admin.execute(
        "ALTER TABLE evaluation_cancel.commands ADD CONSTRAINT odd CHECK (reason IS DISTINCT FROM 'unstorable')"
    )
    await intake_env.send(
        *(bare(evaluation, reason="unstorable" if n == 4 else "r") for n, evaluation in enumerate(good))
    )
    async with intake_env.open():
        await until(lambda: intake_env.counts.get("accepted", 0) == 8, "the others were accepted")
        await until(lambda: postgres_env.count_is("messages", 1, "type = 'DeadLetter'"), "one dead letter")
    row = await postgres_env.row("messages", "type = 'DeadLetter'")
    assert row["value"] == bare(good[4], reason="unstorable")
    assert dict(unpack_headers(row["headers"]))["dlq_code"] == b"unstorable"


async def test_half_of_a_batch_committed_before_an_outage_is_counted_once(intake_env: IntakeEnv) -> None:
    postgres_env = intake_env.postgres_env
    batches: list[int] = []

    class FailsAfterTheFirstHalf(DecisionService):
        """Refuses the whole batch, commits its first half, and loses Postgres once before the second."""

        async def record(self, batch: Batch) -> Decided:
            if not batch.commands:
                return await super().record(batch)
            batches.append(len(batch.commands))
            if len(batches) == 1:
                raise Unstorable("unstorable", "one of these values")
            if len(batches) == 3:
                raise TemporaryError("postgres_unavailable", "down")
            return await super().record(batch)

    evaluations = [await postgres_env.evaluation() for _ in range(4)]
    sent = [(bare(evaluation), []) for evaluation in evaluations]
    await send_batch(intake_env.environment.kafka.bootstrap_servers, intake_env.topics.commands, sent)
    async with intake_env.open(
        FailsAfterTheFirstHalf(postgres_env.database, intake_env.events, postgres_env.eager_claims)
    ):
        await until(lambda: postgres_env.count_is("commands", 4, "decision = 'accepted'"), "all were accepted")
    assert intake_env.counts == {"accepted": 4}
    assert intake_env.records == 4
    assert batches == [4, 2, 2, 2]


async def test_a_row_at_which_a_foreign_trigger_raises_costs_one_dead_letter(intake_env: IntakeEnv) -> None:
    odd, good = await intake_env.postgres_env.evaluation(), await intake_env.postgres_env.evaluation()
    await raise_at(intake_env.postgres_env, odd)
    await intake_env.send(bare(odd), bare(good))
    async with intake_env.open():
        await until(lambda: intake_env.counts == {"accepted": 1}, "the other was accepted", within=20)
        await until(lambda: intake_env.postgres_env.count_is("messages", 1, "type = 'DeadLetter'"), "one dead letter")


async def test_an_offset_is_committed_only_after_postgres_has_the_batch(intake_env: IntakeEnv) -> None:
    postgres_env = intake_env.postgres_env
    evaluation = await postgres_env.evaluation()
    await intake_env.send(bare(evaluation))
    tried = asyncio.Event()

    class Down(DecisionService):
        async def record(self, batch: Batch) -> Decided:
            tried.set()
            raise TemporaryError("postgres_unavailable", f"down for {len(batch.commands)} commands")

    async with intake_env.open(Down(postgres_env.database, intake_env.events, postgres_env.eager_claims)):
        await asyncio.wait_for(tried.wait(), 60)
    assert await intake_env.committed() == 0
    async with intake_env.open():
        await until(lambda: intake_env.counts == {"accepted": 1}, "it was delivered again and accepted")
    assert await intake_env.committed() == 1


async def test_commands_whose_commit_was_lost_are_known_when_kafka_delivers_them_again(intake_env: IntakeEnv) -> None:
    class Forgetful(KafkaCommandReader):
        """Its commits tell Kafka that nothing has been handled."""

        async def commit(self, next_offsets: Mapping[tuple[str, int], int]) -> None:
            await super().commit(dict.fromkeys(next_offsets, 0))

    await intake_env.send(bare(await intake_env.postgres_env.evaluation()))
    intake_env.reader = Forgetful
    async with intake_env.open():
        await until(lambda: intake_env.counts == {"accepted": 1}, "accepted")
    async with intake_env.open():
        await until(lambda: intake_env.counts == {"accepted": 1, "redelivered": 1}, "delivered again")
    assert await intake_env.postgres_env.count("messages") == 1


async def test_a_database_restored_from_a_backup_asks_again_for_what_it_lost(intake_env: IntakeEnv) -> None:
    evaluation = await intake_env.postgres_env.evaluation()
    await intake_env.send(bare(evaluation))
    async with intake_env.open():
        await until(lambda: intake_env.counts == {"accepted": 1}, "accepted")
    assert await intake_env.committed() == 1
    for table in ("commands", "cancellations", "messages", "outbox", "offsets"):
        await intake_env.postgres_env.admin.execute(f"DELETE FROM evaluation_cancel.{table}")
    async with intake_env.open():
        await until(lambda: intake_env.counts == {"accepted": 2}, "accepted again")


async def test_an_outage_of_postgres_delays_commands_and_loses_none(intake_env: IntakeEnv) -> None:
    evaluations = [await intake_env.postgres_env.evaluation() for _ in range(20)]
    name = (await intake_env.postgres_env.admin.fetchrow("SELECT current_database() AS name") or {})["name"]
    async with intake_env.open():
        server = await asyncpg.connect(intake_env.environment.postgres.dsn("postgres"))
        await server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        await intake_env.send(*(bare(evaluation) for evaluation in evaluations))
        await server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        await server.close()
        await until(lambda: intake_env.counts.get("accepted", 0) == 20, "all were accepted")


async def test_a_partition_revoked_during_an_outage_of_postgres_costs_no_command_of_the_others(
    intake_env: IntakeEnv,
) -> None:
    class Outdated(KafkaCommandReader):
        """Has fetched records, could not ask Postgres where to begin, and holds partitions for its own that are not."""

        async def _go_to_positions(self) -> None:
            new = self._assignment.new
            if new and len(tried) < 5:
                tried.append(len(new))
                raise TemporaryError("postgres_unavailable", "away")
            if new:
                self._assignment.new = {TopicPartition(intake_env.topics.events, n) for n in range(4)} | new
            await super()._go_to_positions()

    tried: list[int] = []
    evaluations = [await intake_env.postgres_env.evaluation() for _ in range(100)]
    await intake_env.send(*(bare(evaluation) for evaluation in evaluations))
    intake_env.reader = Outdated
    async with intake_env.open():
        await until(lambda: intake_env.counts == {"accepted": 100}, "all were accepted", within=30)


async def test_a_new_client_ignores_the_assignment_of_the_earlier_one(intake_env: IntakeEnv) -> None:
    reader = intake_env.intake()._reader
    assert isinstance(reader, KafkaCommandReader)
    await intake_env.send(bare(await intake_env.postgres_env.evaluation()))
    await reader.start()
    await until(lambda: reader._assignment.new, "partitions were assigned")
    await reader.stop()
    await reader.start()
    assert not reader._assignment.new
    await reader.stop()


@pytest.mark.real
async def test_commands_are_decided_after_each_change_of_the_group(intake_env: IntakeEnv) -> None:
    async def all_are_decided() -> None:
        evaluations = [await intake_env.postgres_env.evaluation() for _ in range(40)]
        expected = intake_env.counts.get("accepted", 0) + len(evaluations)
        for evaluation in evaluations:
            await intake_env.send(bare(evaluation))
        await until(lambda: intake_env.counts.get("accepted", 0) == expected, "all were accepted")

    async with intake_env.open():
        await all_are_decided()
        async with intake_env.open():
            await all_are_decided()
        await all_are_decided()
