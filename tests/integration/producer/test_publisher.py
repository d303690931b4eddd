"""The publisher on a real client and broker, in good times and in bad."""

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OutOfOrderSequenceNumber, RequestTimedOutError, TopicAuthorizationFailedError

from evaluation_cancel.producer.errors import KafkaUnreachable, PublishRefused, PublishUnknown
from evaluation_cancel.producer.publisher import Publisher, Receipt
from evaluation_cancel.schemas.commands import CancelEvaluation, RequestedBy
from evaluation_cancel.schemas.envelope import Envelope
from evaluation_cancel.schemas.wire.codec import RawRecord, decode_command

PATIENCE = 60.0
ADA = RequestedBy(kind="user", id="ada", team_ids=("team-7",))


def publisher(address: str, topics: Any, **settings: Any) -> Publisher:
    return Publisher(client={"bootstrap_servers": address}, source="/tests", topics=topics, **settings)


async def kept(address: str, receipt: Receipt) -> tuple[Envelope, CancelEvaluation]:
    """What Kafka holds at the position of the receipt."""
    partition = TopicPartition(receipt.topic, receipt.partition)
    consumer = AIOKafkaConsumer(bootstrap_servers=address)
    async with asyncio.timeout(PATIENCE), consumer:
        consumer.assign([partition])
        consumer.seek(partition, receipt.offset)
        return decode_command(RawRecord.of(await consumer.getone()))


async def test_a_receipt_tells_where_the_command_is(environment: Any, topics: Any) -> None:
    address = environment.kafka.bootstrap_servers
    evaluation, expires = uuid4(), datetime.now(UTC) + timedelta(hours=1)
    async with publisher(address, topics) as sender:
        receipt = await sender.cancel(
            evaluation,
            ADA,
            reason="wrong model",
            cleanup_artifacts=True,
            command_id="my-own-id",
            source="/reports/api",
            expires_at=expires,
            correlation_id="nightly",
        )
    envelope, command = await kept(address, receipt)
    assert receipt.command_id == envelope.id == "my-own-id"
    assert (envelope.source, envelope.expirytime, envelope.correlationid) == ("/reports/api", expires, "nightly")
    assert command == CancelEvaluation(
        evaluation_id=evaluation, requested_by=ADA, reason="wrong model", cleanup_artifacts=True
    )


async def test_an_evaluation_id_in_any_spelling_becomes_the_canonical_key(environment: Any, topics: Any) -> None:
    evaluation = uuid4()
    async with publisher(environment.kafka.bootstrap_servers, topics) as sender:
        spellings = [str(evaluation), evaluation.hex, f"{{{evaluation}}}", evaluation.urn]
        receipts = await asyncio.gather(*(sender.cancel(each, ADA) for each in spellings))
    assert len({receipt.partition for receipt in receipts}) == 1
    assert len({receipt.command_id for receipt in receipts}) == 4


async def test_many_tasks_share_one_publisher(environment: Any, topics: Any) -> None:
    async with publisher(environment.kafka.bootstrap_servers, topics) as sender:
        receipts = await asyncio.gather(*(sender.cancel(uuid4(), ADA) for _ in range(500)))
    assert len({(receipt.partition, receipt.offset) for receipt in receipts}) == 500


@pytest.mark.parametrize(
    ("spoiled", "problem"),
    [
        ({"evaluation_id": "42"}, "evaluation_id"),
        ({"reason": "a" * 1025}, "reason"),
        ({"reason": "a\x00"}, "NUL"),
        ({"command_id": "a" * 513}, "512 bytes"),
        ({"source": "/\x00"}, "NUL"),
        ({"expires_at": datetime(3000, 1, 1, tzinfo=UTC)}, "years"),
    ],
)
async def test_what_nobody_could_read_is_refused_before_it_is_sent(spoiled: dict[str, Any], problem: str) -> None:
    sender = publisher("127.0.0.1:1", None)
    with pytest.raises(ValueError, match=problem):
        await sender.cancel(**{"evaluation_id": uuid4(), "requested_by": ADA} | spoiled)


async def test_a_definite_refusal_is_no_unknown_outcome(environment: Any, topics: Any) -> None:
    client = {"bootstrap_servers": environment.kafka.bootstrap_servers, "max_request_size": 100}
    async with Publisher(client=client, source="/tests", topics=topics) as sender:
        with pytest.raises(PublishRefused) as caught:
            await sender.cancel(uuid4(), ADA, command_id="too-large")
    assert caught.value.command_id == "too-large"


async def test_a_refusal_after_a_try_that_may_have_arrived_is_of_unknown_outcome(
    environment: Any, topics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = [RequestTimedOutError(), TopicAuthorizationFailedError()]

    async def fail(*_arguments: Any) -> Receipt:
        raise errors.pop(0)

    async with publisher(environment.kafka.bootstrap_servers, topics, publish_timeout=PATIENCE) as sender:
        monkeypatch.setattr(sender, "_send", fail)
        with pytest.raises(PublishUnknown):
            await sender.cancel(uuid4(), ADA)
    assert errors == []


async def test_without_a_broker_the_start_ends_within_its_time() -> None:
    sender = publisher("127.0.0.1:1", None, connect_timeout=1.5)
    with pytest.raises(KafkaUnreachable):
        await sender.start()
    await sender.stop()


async def test_a_broker_that_comes_late_is_found(environment: Any, topics: Any) -> None:
    """The address hangs up on the first tries; behind it stands the true broker."""
    tries = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        if tries > 2:
            await forward(environment.kafka.bootstrap_servers, reader, writer)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with publisher(address, topics, connect_timeout=PATIENCE) as sender:
            receipt = await sender.cancel(uuid4(), ADA)
    assert receipt.offset >= 0
    assert tries >= 3


async def forward(address: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    host, port = address.split(":")
    far_reader, far_writer = await asyncio.open_connection(host, int(port))

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                target.write(data)
        target.close()

    await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))


async def test_a_command_that_is_not_acknowledged_can_be_sent_again(broker: Any) -> None:
    async with publisher(broker.address, broker.topics, publish_timeout=PATIENCE, stop_timeout=1) as sender:
        await sender.cancel(uuid4(), ADA)
        broker.process.pause()
        evaluation = uuid4()
        with pytest.raises(PublishUnknown) as caught:
            await sender.cancel(evaluation, ADA, timeout=1)
        broker.process.resume()
        receipt = await sender.cancel(evaluation, ADA, command_id=caught.value.command_id)
    envelope, command = await kept(broker.address, receipt)
    assert (envelope.id, command.evaluation_id) == (caught.value.command_id, evaluation)


async def test_stopping_is_bounded_whatever_the_broker_does(broker: Any) -> None:
    sender = publisher(broker.address, broker.topics, publish_timeout=120, stop_timeout=1)
    await sender.cancel(uuid4(), ADA)
    broker.process.pause()
    sending = asyncio.create_task(sender.cancel(uuid4(), ADA, timeout=5))
    await in_hand(sender, 1)
    began = time.monotonic()
    await sender.stop()
    assert time.monotonic() - began < 60
    with pytest.raises(PublishUnknown):
        await sending
    await sender.stop()


async def test_after_a_fatal_error_the_next_command_finds_a_new_producer(environment: Any, topics: Any) -> None:
    async with publisher(environment.kafka.bootstrap_servers, topics, publish_timeout=PATIENCE) as sender:
        await sender.cancel(uuid4(), ADA)
        first: Any = sender._producer
        first._message_accumulator.fail_all(OutOfOrderSequenceNumber())
        receipt = await sender.cancel(uuid4(), ADA)
        assert receipt.offset >= 0
        second = sender._producer
        assert second is not first
        # Somebody else who learns late that the first is gone must not take the second with it.
        sender._retire(first)
        assert sender._producer is second


async def test_a_caller_who_gives_up_spoils_nothing_for_the_others(broker: Any) -> None:
    async with publisher(broker.address, broker.topics, publish_timeout=PATIENCE) as sender:
        await sender.cancel(uuid4(), ADA)
        broker.process.pause()
        patient = asyncio.create_task(sender.cancel(uuid4(), ADA))
        hasty = asyncio.create_task(sender.cancel(uuid4(), ADA))
        await in_hand(sender)
        hasty.cancel()
        await asyncio.wait({hasty})
        broker.process.resume()
        assert (await patient).offset >= 0


async def in_hand(sender: Publisher, count: int = 2) -> None:
    """Until aiokafka holds so many records that nobody has acknowledged."""
    client: Any = sender._producer
    async with asyncio.timeout(PATIENCE):
        while True:
            accumulator = client._message_accumulator
            waiting = [batch for batches in accumulator._batches.values() for batch in batches]
            if sum(batch.record_count for batch in {*waiting, *accumulator._pending_batches}) >= count:
                return
            await asyncio.sleep(0.01)
