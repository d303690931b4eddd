"""The in-memory broker serves what the quick tests need of it."""

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from deploy.local.kafka.broker import ensure_topics
from deploy.local.kafka.memory import kafka_memory
from deploy.local.processes.process import workspace
from evaluation_cancel.schemas.topics import Topics


async def test_topics_are_there_when_they_were_asked_for_and_keep_what_is_sent() -> None:
    topics = Topics("own-")
    async with workspace() as work, kafka_memory(work) as kafka:
        await ensure_topics(kafka, topics.specs())
        await ensure_topics(kafka, topics.specs())
        servers = {"bootstrap_servers": kafka.bootstrap_servers}
        async with AIOKafkaProducer(**servers, acks="all", enable_idempotence=True) as producer:
            assert await producer.partitions_for(topics.dead_letters)
            await producer.send_and_wait(topics.commands, b"one")
        async with AIOKafkaConsumer(topics.commands, **servers, auto_offset_reset="earliest") as consumer:
            assert (await consumer.getone()).value == b"one"
