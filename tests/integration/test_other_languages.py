"""Commands that other languages write are read as meant: the SDKs of CloudEvents and Spring's header mapper."""

import asyncio
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer

from deploy.local.kafka.broker import ensure_topics
from deploy.local.kafka.real import kafka_real
from deploy.local.processes.process import workspace
from evaluation_cancel.schemas.topics import Topics
from evaluation_cancel.schemas.wire.codec import RawRecord, decode_command
from tests.support.other_languages import Writers, writers

pytestmark = pytest.mark.real

PAGE = Path(__file__).parents[2] / "docs" / "publishing.md"
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


@pytest.mark.parametrize("language", ["sh", "python", "java", "go", "javascript"])
async def test_the_programs_of_the_page_on_publishing_write_a_command(written: Writers, language: str) -> None:
    if language == "sh" and shutil.which("kcat") is None:
        pytest.skip("kcat is not installed")
    [program] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    evaluation = uuid4()
    async with workspace() as work, kafka_real(work) as broker:
        await ensure_topics(broker, Topics().specs())
        await written.run_program(language, program, broker.bootstrap_servers, str(evaluation), "team-7")
        record = await first_record(broker.bootstrap_servers, Topics().commands)
    envelope, command = decode_command(record)
    assert (command.evaluation_id, command.requested_by.team_ids) == (evaluation, ("team-7",))
    assert (envelope.source, record.key, envelope.dropped) == ("urn:billing", str(evaluation).encode(), ())
    assert envelope.id


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
