"""A broker of a test's own, to be stopped and let go again."""

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from deploy.local.kafka.broker import Kafka, ensure_topics
from deploy.local.processes.process import Child, workspace
from evaluation_cancel.schemas.topics import Topics


@dataclass(frozen=True, kw_only=True, slots=True)
class Broker:
    """In-memory Kafka in a process that answers nothing while it is paused."""

    address: str
    topics: Topics
    process: Child


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with workspace() as work:
        address = work.directory / "kafka.address"
        process = work.start("broker", [sys.executable, "-m", "deploy.local.kafka.memory", address])

        async def written() -> bool:
            return address.exists()

        await process.ready(written)
        topics = Topics("own-")
        await ensure_topics(Kafka(bootstrap_servers=address.read_text(), kind="memory"), topics.specs())
        yield Broker(address=address.read_text(), topics=topics, process=process)
        process.resume()
        process.kill()
