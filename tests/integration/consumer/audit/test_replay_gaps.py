"""What a replay does where records are not, or not any more: expired, compacted, aborted, or no records at all."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.stand.stack import Stack
from evaluation_cancel.consumer.audit.cli.settings import AuditSettings
from evaluation_cancel.consumer.audit.history.selection import Selection
from evaluation_cancel.schemas.topics import MAX_MESSAGE_BYTES, Topics
from tests.support.audit.history import audit_settings
from tests.support.audit.replaying import Kept, kept, replayed
from tests.support.environment import unique
from tests.support.waiting import until


async def test_a_range_that_begins_before_what_is_retained_says_so(
    environment: Stack, topics: Topics, tmp_path: Path
) -> None:
    settings = audit_settings(environment, "postgresql://127.0.0.1:1/none", topics, "none", tmp_path)
    await expire(environment, settings)
    output = Kept()
    said = await replayed(settings, "kafka", output, Selection(since_ms=0))
    first = min(r.offset for r in output.records)
    assert first > 0
    assert len(output.records) == max(r.offset for r in output.records) - first + 1
    told = [s for s in said if s.startswith(f"{settings.topics.events}[0]")]
    assert told
    assert f"no longer has the offsets before {first}" in told[0]
    assert f"goes on from offset {first}" in told[0]


async def expire(environment: Stack, settings: AuditSettings) -> None:
    """The in-memory broker drops what is beyond 5 MB a partition by itself; another one is asked to."""
    memory = environment.kafka.kind == "memory"
    async with AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap_servers, max_request_size=MAX_MESSAGE_BYTES
    ) as sender:
        for _ in range(40):
            value = b"x" * 300_000 if memory else b"x"
            await sender.send_and_wait(settings.topics.events, value, partition=0)
    if not memory:
        await asyncio.to_thread(_delete, environment.kafka.bootstrap_servers, settings.topics.events)


def _delete(bootstrap_servers: str, topic: str) -> None:
    from confluent_kafka import TopicPartition  # noqa: PLC0415
    from confluent_kafka.admin import AdminClient  # type: ignore[attr-defined]  # noqa: PLC0415

    client = AdminClient({"bootstrap.servers": bootstrap_servers})
    for done in client.delete_records([TopicPartition(topic, 0, 10)]).values():
        done.result(30)


@pytest.mark.real
async def test_control_records_at_the_end_and_an_open_transaction_do_not_make_it_hang(
    environment: Stack, topics: Topics, tmp_path: Path
) -> None:
    settings = audit_settings(environment, "postgresql://127.0.0.1:1/none", topics, "none", tmp_path)
    async with AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap_servers, transactional_id=unique("tx")
    ) as sender:
        for end in (sender.commit_transaction, sender.abort_transaction, sender.abort_transaction):
            await sender.begin_transaction()
            await sender.send_and_wait(settings.topics.events, b"x", partition=0)
            await end()
        assert [r.offset for r in await kept(settings, "kafka")] == [0]
        await sender.begin_transaction()
        await sender.send_and_wait(settings.topics.events, b"x", partition=0)
        assert [r.offset for r in await kept(settings, "kafka")] == [0]
        await sender.commit_transaction()
    assert [r.offset for r in await kept(settings, "kafka")] == [0, 6]


@pytest.mark.real
@pytest.mark.timeout(240)
async def test_gaps_that_compaction_left_do_not_make_it_hang(
    environment: Stack, topics: Topics, tmp_path: Path
) -> None:
    """None of the system's topics is compacted, unless somebody has changed that."""
    settings = audit_settings(environment, "postgresql://127.0.0.1:1/none", topics, "none", tmp_path)
    await asyncio.to_thread(_compact, environment.kafka.bootstrap_servers, settings.topics.events)

    async def offsets() -> list[int]:
        return [r.offset for r in await kept(settings, "kafka")]

    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers) as sender:
        for number in range(20):
            key = b"%d" % number if number % 7 == 0 else b"again and again"
            await sender.send_and_wait(settings.topics.events, b"%d" % number, key=key, partition=0)

        async def compacted() -> bool:
            # Only what lies behind the newest segment is cleaned, and a segment ends with the next record.
            await sender.send_and_wait(settings.topics.events, b"x", key=b"later", partition=0)
            return 1 not in await offsets()

        await until(compacted, "the broker has compacted", within=100, every=0.5)
    found = await offsets()
    assert found[:4] == [0, 7, 14, 19]


def _compact(bootstrap_servers: str, topic: str) -> None:
    from confluent_kafka.admin import (  # type: ignore[attr-defined]  # noqa: PLC0415
        AdminClient,
        AlterConfigOpType,
        ConfigEntry,
        ConfigResource,
    )

    wanted = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01"}
    entries = [ConfigEntry(n, v, incremental_operation=AlterConfigOpType.SET) for n, v in wanted.items()]
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
    client = AdminClient({"bootstrap.servers": bootstrap_servers})
    for done in client.incremental_alter_configs([resource]).values():
        done.result(30)
