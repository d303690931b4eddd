"""What cannot be read stops its own partition, is told, and can be skipped on record; what is too large is no more."""

from __future__ import annotations

from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.stand.stack import Stack
from evaluation_cancel.consumer.audit.kafka.client import open_log
from evaluation_cancel.consumer.domain.commands import Position
from evaluation_cancel.consumer.domain.messages import unpack_headers
from evaluation_cancel.consumer.kafka.command_reader import KafkaCommandReader
from evaluation_cancel.consumer.sql import commands
from evaluation_cancel.schemas.topics import Topics
from evaluation_cancel.schemas.wire import codecs
from evaluation_cancel.schemas.wire.records import KEPT_BYTES
from tests.support.consumer.intake_env import IntakeEnv, bare
from tests.support.consumer.postgres_env import PostgresEnv
from tests.support.waiting import until


@pytest.fixture
async def intake_env(environment: Stack, topics: Topics, postgres_env: PostgresEnv) -> IntakeEnv:
    return IntakeEnv(environment, topics, postgres_env)


@pytest.fixture
def without_zstd(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As on a machine whose codec is missing. Undone, it is installed."""
    codecs.install()
    for module in codecs._readers():
        if hasattr(module, "zstd_decode"):
            monkeypatch.setattr(module, "zstd_decode", missing)
    monkeypatch.setattr(codecs, "install", lambda: None)
    return monkeypatch


def missing(_: Any) -> bytes:
    raise NotImplementedError("Zstd codec is not available")


async def send(env: IntakeEnv, partition: int, *values: bytes, codec: str | None = None) -> None:
    async with AIOKafkaProducer(**env.client, compression_type=codec, max_request_size=900 * 1024 * 1024) as producer:
        for value in values:
            await producer.send_and_wait(env.topics.commands, value, partition=partition)


async def evaluations(env: IntakeEnv, count: int) -> list[UUID]:
    return [await env.postgres_env.evaluation() for _ in range(count)]


def standing(reader: Any) -> list[str]:
    assert isinstance(reader, KafkaCommandReader)
    return reader.unreadable.described()


async def test_a_batch_that_cannot_be_read_stops_its_partition_alone_until_it_can(
    intake_env: IntakeEnv, without_zstd: pytest.MonkeyPatch
) -> None:
    first, stuck, behind, other = await evaluations(intake_env, 4)
    await send(intake_env, 0, bare(first))
    await send(intake_env, 0, bare(stuck) * 1, codec="zstd")
    await send(intake_env, 0, bare(behind))
    async with intake_env.open() as intake:
        await until(lambda: standing(intake._reader), "it is told")
        await send(intake_env, 1, bare(other))
        await until(lambda: intake_env.counts == {"accepted": 2}, "the others are decided")
        assert "[0]@1: NotImplementedError: Zstd codec is not available" in standing(intake._reader)[0]
        without_zstd.undo()
        await until(lambda: intake_env.counts == {"accepted": 4}, "it goes on by itself")
        await until(lambda: not standing(intake._reader), "nothing stands still")


async def test_what_an_operator_skipped_is_passed_over(intake_env: IntakeEnv, without_zstd: pytest.MonkeyPatch) -> None:
    stuck, behind = await evaluations(intake_env, 2)
    await send(intake_env, 2, bare(stuck), codec="zstd")
    await send(intake_env, 2, bare(behind))
    async with intake_env.open() as intake:
        await until(lambda: standing(intake._reader), "it is told")
        async with intake_env.postgres_env.database.transaction() as tx:
            await commands.save_offsets(tx, [Position(intake_env.topics.commands, 2, 1)])
        await until(lambda: intake_env.counts == {"accepted": 1}, "what is behind it is decided")
        assert not standing(intake._reader)
    assert await intake_env.postgres_env.status(stuck) == "running"


@pytest.mark.parametrize("codec", ["gzip", "zstd", "lz4"])
async def test_a_batch_that_would_fill_the_memory_becomes_one_dead_letter(intake_env: IntakeEnv, codec: str) -> None:
    (good,) = await evaluations(intake_env, 1)
    await send(intake_env, 0, bytes(100 * 1024 * 1024), codec=codec)
    await send(intake_env, 0, bare(good))
    async with intake_env.open() as intake:
        await until(lambda: intake_env.counts.get("accepted") == 1, "the command behind it is decided")
        assert not standing(intake._reader)
    letter = await intake_env.postgres_env.row("messages", "type = 'DeadLetter'")
    headers = dict(unpack_headers(letter["headers"]))
    assert headers["dlq_code"] == b"too_large"
    assert headers["dlq_offset"] == b"0"
    assert b"offsets 0 to 0" in headers["dlq_problem"]
    assert len(letter["value"]) <= KEPT_BYTES
    assert int(headers["dlq_value_bytes"]) < 1024 * 1024
    assert len(headers["dlq_value_sha256"]) == 64


@pytest.mark.parametrize("size", [600 * 1024, 5 * 1024 * 1024])
async def test_a_value_over_the_limit_becomes_a_dead_letter_of_its_beginning(intake_env: IntakeEnv, size: int) -> None:
    value = b"{" + b"x" * (size - 1)
    await send(intake_env, 0, value, codec="gzip")
    async with intake_env.open():
        await until(lambda: intake_env.postgres_env.count_is("messages", 1, "type = 'DeadLetter'"), "one dead letter")
    letter = await intake_env.postgres_env.row("messages", "type = 'DeadLetter'")
    headers = dict(unpack_headers(letter["headers"]))
    assert letter["value"] == value[:KEPT_BYTES]
    assert (headers["dlq_code"], headers["dlq_value_bytes"]) == (b"too_large", str(size).encode())
    assert headers["dlq_value_sha256"] == sha256(value).hexdigest().encode()


async def test_a_log_for_audit_reads_the_other_partitions_on(
    intake_env: IntakeEnv, without_zstd: pytest.MonkeyPatch
) -> None:
    await send(intake_env, 0, b"readable")
    await send(intake_env, 0, b"stuck", codec="zstd")
    await send(intake_env, 1, b"other")
    async with open_log(intake_env.client, "read_uncommitted", [intake_env.topics.commands]) as log:
        log.read_from(dict.fromkeys(log.partitions, 0))
        values: list[bytes | None] = []
        ends: dict[int, int] = {}

        async def read(*wanted: bytes) -> bool:
            for each in await log.read(0.2):
                values.extend(record.value for record in each.records)
                ends[each.partition[1]] = each.position
            return set(values) == set(wanted)

        await until(lambda: read(b"readable", b"other"), "what can be read was read")
        assert ends == {0: 1, 1: 1}
        without_zstd.undo()
        await until(lambda: read(b"readable", b"other", b"stuck"), "the rest follows")
        assert len(values) == 3
