"""The producer behind the outbox on a broker: what it can send, and what it says of what it cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import ClusterAuthorizationFailedError, TopicAuthorizationFailedError

from deploy.local.stand.stack import Stack
from evaluation_cancel.consumer.kafka.event_producer import KafkaEventProducer
from evaluation_cancel.consumer.outbox.ports import Record, Refused, SendResult, Sent, Unresolved
from evaluation_cancel.schemas.topics import Topics


@pytest.fixture
async def producer(environment: Stack) -> AsyncIterator[KafkaEventProducer]:
    made = KafkaEventProducer(
        client_settings=lambda: {"bootstrap_servers": environment.kafka.bootstrap_servers}, deadline=20
    )
    yield made
    await made.close()


async def arrived(environment: Stack, topic: str, count: int) -> list[Any]:
    """That many records of a topic."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=environment.kafka.bootstrap_servers, auto_offset_reset="earliest", group_id=None
    )
    async with consumer:
        return [await consumer.getone() for _ in range(count)]


async def test_a_record_that_had_neither_key_nor_value_still_becomes_a_dead_letter(
    environment: Stack, topics: Topics, producer: KafkaEventProducer
) -> None:
    empty: Record = Record(topics.dead_letters, None, None, [("dlq_code", b"no_value")])
    beside: Record = Record(topics.dead_letters, b"k", b"v", [])
    assert await producer.send([empty, beside]) == [Sent(), Sent()]
    letters = await arrived(environment, topics.dead_letters, 2)
    assert sorted((letter.key, letter.value) for letter in letters if letter.value is None) == [(b"", None)]
    assert dict(next(letter.headers for letter in letters if letter.value is None)) == {"dlq_code": b"no_value"}


async def test_a_message_that_the_client_cannot_send_is_refused_and_the_one_beside_it_arrives(
    topics: Topics, producer: KafkaEventProducer
) -> None:
    odd: Record = Record(topics.events, "no bytes", b"v", [])  # type: ignore[assignment]
    first, second = await producer.send([odd, Record(topics.events, b"k", b"v", [])])
    assert isinstance(first, Refused)
    assert first.code == "unsendable"
    assert second == Sent()


async def test_a_client_that_may_write_nowhere_is_refused_and_not_merely_told_to_wait(
    topics: Topics, producer: KafkaEventProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start(_client: AIOKafkaProducer) -> None:
        raise ClusterAuthorizationFailedError  # what a real broker answers to the first request of such a client

    monkeypatch.setattr(AIOKafkaProducer, "start", start)
    [result] = await producer.send([Record(topics.events, b"k", b"v", [])])
    assert isinstance(result, Refused)
    assert result.code == "cluster_not_authorized"


async def test_each_key_goes_where_every_client_of_kafka_would_put_it(
    environment: Stack, topics: Topics, producer: KafkaEventProducer
) -> None:
    keys = [str(uuid4()).encode() for _ in range(40)]
    assert await producer.send([Record(topics.events, key, b"v", []) for key in keys]) == [Sent()] * 40
    theirs = AIOKafkaProducer(bootstrap_servers=environment.kafka.bootstrap_servers)
    async with theirs:
        for key in keys:
            await theirs.send_and_wait(topics.events, b"v", key=key)
    where: dict[bytes, set[int]] = {}
    for record in await arrived(environment, topics.events, 80):
        where.setdefault(record.key, set()).add(record.partition)
    assert all(len(partitions) == 1 for partitions in where.values())


async def test_more_than_one_batch_of_a_partition_arrives_and_so_does_one_larger_than_a_batch(
    environment: Stack, topics: Topics, producer: KafkaEventProducer
) -> None:
    sizes = [50_000] * 8 + [300_000, 10]
    results = await producer.send(
        [Record(topics.events, b"k%d" % (n % 2), b"x" * size, []) for n, size in enumerate(sizes)]
    )
    assert results == [Sent()] * 10
    assert sorted(len(record.value) for record in await arrived(environment, topics.events, 10)) == sorted(sizes)


async def test_a_topic_that_may_not_be_written_holds_up_no_other(
    topics: Topics, producer: KafkaEventProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = AIOKafkaProducer.partitions_for

    async def partitions_for(client: AIOKafkaProducer, topic: str) -> set[int]:
        if topic == topics.dead_letters:
            raise TopicAuthorizationFailedError(topic)
        return set(await known(client, topic))

    monkeypatch.setattr(AIOKafkaProducer, "partitions_for", partitions_for)
    first, second = await producer.send(
        [Record(topics.dead_letters, b"k", b"v", []), Record(topics.events, b"k", b"v", [])]
    )
    assert isinstance(first, Refused)
    assert first.code == "topic_not_authorized"
    assert second == Sent()


@pytest.mark.real
async def test_a_topic_that_is_missing_keeps_nothing_from_the_others(
    topics: Topics, producer: KafkaEventProducer
) -> None:
    missing: Record = Record(f"{topics.prefix}missing", b"k", b"v", [])
    there: Record = Record(topics.events, b"k", b"v", [])
    first, second, third = await producer.send([missing, there, missing])
    assert isinstance(first, Refused)
    assert first.code == "topic_missing"
    assert (second, third) == (Sent(), first)


@pytest.fixture
async def narrow(environment: Stack, topics: Topics) -> str:
    """A topic of one partition that takes batches of 20,000 bytes at most, fewer than the client puts together."""
    name = f"{topics.prefix}narrow"
    admin = AIOKafkaAdminClient(bootstrap_servers=environment.kafka.bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1, topic_configs={"max.message.bytes": "20000"})])
    await admin.close()
    return name


async def sent_in_the_end(producer: KafkaEventProducer, records: list[Record]) -> list[SendResult]:
    """As the outbox does: a new producer for what is unresolved."""
    results: list[SendResult] = []
    for _ in range(10):
        results = await producer.send(records)
        if not any(isinstance(result, Unresolved) for result in results):
            break
        await producer.renew()
    return results


@pytest.mark.real
async def test_messages_that_only_together_are_too_large_all_arrive(producer: KafkaEventProducer, narrow: str) -> None:
    records: list[Record] = [Record(narrow, b"k%d" % n, b"x" * 1000, []) for n in range(100)]
    assert await sent_in_the_end(producer, records) == [Sent()] * 100


@pytest.mark.real
async def test_one_that_is_too_large_alone_is_refused_and_those_after_it_arrive_at_once(
    producer: KafkaEventProducer, narrow: str
) -> None:
    large: Record = Record(narrow, b"large", b"x" * 300_000, [])
    [refused] = await producer.send([large])
    assert isinstance(refused, Refused)
    assert refused.code == "message_too_large"
    assert await producer.send([Record(narrow, b"k", b"v", [])]) == [Sent()]
