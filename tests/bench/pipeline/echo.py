"""The bound from below: reads each command and produces it to another topic, nothing else.

`python -m tests.bench.pipeline.echo FILE`: no database, no decoding, the same client library, idempotent, in batches.
Nothing that goes through Kafka twice in this language can be faster, so others are told as a share of it.
"""

from __future__ import annotations

import asyncio
import sys
import time

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from evaluation_cancel.consumer.settings import ConsumerSettings
from evaluation_cancel.schemas.settings.loading import load_settings
from tests.bench.pipeline.reader import write

_BATCH = 2000


async def echo(settings: ConsumerSettings, begun_file: str) -> None:
    consumer = AIOKafkaConsumer(
        settings.topics.commands,
        group_id=settings.group_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level=settings.kafka_isolation_level,
        fetch_max_bytes=16 * 1024 * 1024,
        max_partition_fetch_bytes=2 * 1024 * 1024,
        **settings.kafka_client(),
    )
    producer = AIOKafkaProducer(
        acks="all", enable_idempotence=True, max_batch_size=128 * 1024, linger_ms=0, **settings.kafka_client()
    )
    write(begun_file, str(time.time()))
    await producer.start()
    await consumer.start()
    while True:
        fetched = await consumer.getmany(timeout_ms=200, max_records=_BATCH)
        if fetched:
            await _produce(producer, settings.topics.events, fetched)
            await consumer.commit({partition: records[-1].offset + 1 for partition, records in fetched.items()})


async def _produce(producer: AIOKafkaProducer, topic: str, fetched: dict[TopicPartition, list[object]]) -> None:
    sent = [
        await producer.send(topic, record.value, key=record.key, headers=list(record.headers))
        for records in fetched.values()
        for record in records
    ]
    await asyncio.wait(sent)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(echo(load_settings(ConsumerSettings), sys.argv[1]))
