"""Commands that other languages write are read as meant: the SDKs of CloudEvents and Spring's header mapper."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer

from evaluation_cancel.schemas.wire.codec import RawRecord, decode_command
from tests.support.other_languages import Writers, writers

pytestmark = pytest.mark.real

PATIENCE = 30.0
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
async def written() -> Writers:
    return await writers()


@pytest.mark.parametrize("mode", ["binary", "structured"])
@pytest.mark.parametrize("language", ["java", "go", "javascript"])
async def test_a_command_written_by_an_sdk_is_read(
    environment: Any, topics: Any, written: Writers, language: str, mode: str
) -> None:
    evaluation = uuid4()
    address = environment.kafka.bootstrap_servers
    await written.write(language, address, topics.commands, str(evaluation), mode)
    await the_command_is_read(address, topics.commands, evaluation)


@pytest.mark.parametrize("strings", ["plain", "quoted"])
@pytest.mark.parametrize("prefix", ["ce_", "ce-", "cloudEvents:"])
async def test_a_command_whose_headers_spring_maps_is_read(
    environment: Any, topics: Any, written: Writers, prefix: str, strings: str
) -> None:
    evaluation = uuid4()
    address = environment.kafka.bootstrap_servers
    await written.write("spring", address, topics.commands, str(evaluation), prefix, strings)
    await the_command_is_read(address, topics.commands, evaluation)


async def the_command_is_read(address: str, topic: str, evaluation: Any) -> None:
    record = await first_record(address, topic)
    envelope, command = decode_command(record)
    assert command.evaluation_id == evaluation
    assert command.requested_by.id == "stranger"
    assert (envelope.id, envelope.source, envelope.time) == ("command-1", "/stranger", NOON)
    assert envelope.traceparent == TRACE
    assert envelope.dropped == ()


async def first_record(address: str, topic: str) -> RawRecord:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=address, auto_offset_reset="earliest")
    async with asyncio.timeout(PATIENCE), consumer:
        return RawRecord.of(await consumer.getone())
