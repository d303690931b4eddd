"""The real broker can be taken away and given back, and keeps what it acknowledged."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka.admin import AdminClient, ConfigResource

from deploy.local.kafka.broker import ensure_topics
from deploy.local.kafka.real import RealKafka, kafka_real
from deploy.local.processes.process import workspace
from evaluation_cancel.schemas.topics import Topics
from tests.support.environment import unique
from tests.support.waiting import until

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
async def kafka() -> AsyncIterator[RealKafka]:
    """One of our own: it is stopped and killed here."""
    async with workspace() as work, kafka_real(work) as started:
        yield started


@pytest.fixture
async def fresh(kafka: RealKafka) -> Topics:
    topics = Topics(f"{unique('t')}-")
    await ensure_topics(kafka, topics.specs())
    return topics


async def send(kafka: RealKafka, topic: str, count: int) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, acks="all") as producer:
        await asyncio.gather(*[producer.send_and_wait(topic, b"%d" % n) for n in range(count)])


async def read(kafka: RealKafka, topic: str, count: int) -> set[bytes]:
    settings = {"bootstrap_servers": kafka.bootstrap_servers, "auto_offset_reset": "earliest"}
    async with AIOKafkaConsumer(topic, **settings) as consumer, asyncio.timeout(60):
        return {(await consumer.getone()).value for _ in range(count)}


async def test_a_killed_broker_comes_back_with_what_it_acknowledged(kafka: RealKafka, fresh: Topics) -> None:
    await send(kafka, fresh.commands, 100)
    kafka.kill()
    assert not await kafka.answers()
    await kafka.start()
    assert len(await read(kafka, fresh.commands, 100)) == 100


async def test_a_stopped_broker_comes_back_with_what_it_acknowledged(kafka: RealKafka, fresh: Topics) -> None:
    await send(kafka, fresh.commands, 100)
    await kafka.stop()
    assert not await kafka.answers()
    await kafka.start()
    assert len(await read(kafka, fresh.commands, 100)) == 100


async def test_a_paused_broker_acknowledges_nothing_until_it_is_resumed(kafka: RealKafka, fresh: Topics) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, acks="all") as producer:
        await producer.send_and_wait(fresh.commands, b"before")
        kafka.pause()
        try:
            sending = asyncio.create_task(producer.send_and_wait(fresh.commands, b"meanwhile"))
            done, _ = await asyncio.wait({sending}, timeout=0.5)
            assert not done
        finally:
            kafka.resume()
        await asyncio.wait_for(sending, 60)


async def test_topics_are_made_as_the_contract_says(kafka: RealKafka, fresh: Topics) -> None:
    client = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 4})

    def settings(topic: str) -> dict[str, str]:
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        (asked,) = client.describe_configs([resource]).values()
        return {name: entry.value for name, entry in asked.result(30).items()}

    for spec in fresh.specs():
        assert len(client.list_topics(spec.name, timeout=30).topics[spec.name].partitions) == spec.partitions
        assert settings(spec.name).items() >= spec.settings.items()


async def test_a_topic_nobody_made_does_not_appear_by_itself(kafka: RealKafka) -> None:
    client = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 4})
    name = unique("never")
    assert client.list_topics(name, timeout=30).topics[name].error is not None
    await until(lambda: name not in client.list_topics(timeout=30).topics)
