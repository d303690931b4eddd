"""Commands are read whatever codec their producer, topic or broker compresses them with."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.stand.stack import Stack
from evaluation_cancel.consumer.kafka.command_reader import KafkaCommandReader
from evaluation_cancel.schemas.topics import Topics

CODECS = ("gzip", "snappy", "lz4", "zstd")


async def no_offsets() -> dict[int, int]:
    return {}


@pytest.mark.parametrize("codec", CODECS)
async def test_a_compressed_record_is_read_like_any_other(environment: Stack, topics: Topics, codec: str) -> None:
    client = {"bootstrap_servers": environment.kafka.bootstrap_servers}
    value = f"{codec} {uuid4()} ".encode() * 50  # long enough that compressing it is worth while
    async with AIOKafkaProducer(**client, compression_type=codec) as producer:
        await producer.send_and_wait(topics.commands, value)
    reader = KafkaCommandReader(
        topic=topics.commands,
        group_id=f"{topics.prefix}codec",
        client_settings=lambda: client,
        isolation_level="read_uncommitted",
        batch=10,
        poll_ms=50,
        saved_offsets=no_offsets,
    )
    await reader.start()
    try:
        async with asyncio.timeout(60):
            read: list[bytes | None] = []
            while not read:
                records, _ = await reader.read()
                read = [record.value for record in records]
    finally:
        await reader.stop()
    assert read == [value]
