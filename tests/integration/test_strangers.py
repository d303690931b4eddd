"""Strangers write commands and read events with libraries of their own: the CloudEvents SDK over confluent-kafka."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import confluent_kafka
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from cloudevents.core.bindings import kafka as sdk
from cloudevents.core.v1.event import CloudEvent

from evaluation_cancel.schemas.envelope import TYPE_PREFIX, Envelope, schema_uri
from evaluation_cancel.schemas.events import Actor, EvaluationCancelAccepted
from evaluation_cancel.schemas.wire.codec import (
    COMMAND_TYPE,
    RawRecord,
    UndecodableRecord,
    decode_command,
    encode_event,
)

PATIENCE = 30.0
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def data_of(evaluation: str) -> dict[str, Any]:
    return {"evaluation_id": evaluation, "requested_by": {"kind": "service", "id": "stranger", "team_ids": ["team-7"]}}


def command_of(evaluation: str, **attributes: Any) -> CloudEvent:
    return CloudEvent(
        attributes={"type": COMMAND_TYPE, "source": "/stranger", "id": "command-1", "partitionkey": evaluation}
        | attributes,
        data=data_of(evaluation),
    )


def write(address: str, topic: str, message: sdk.KafkaMessage) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": address})
    producer.produce(topic, key=message.key, value=message.value, headers=dict(message.headers))
    assert producer.flush(PATIENCE) == 0


async def first_record(address: str, topic: str) -> RawRecord:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=address, auto_offset_reset="earliest")
    async with asyncio.timeout(PATIENCE), consumer:
        return RawRecord.of(await consumer.getone())


async def written_and_read(environment: Any, topics: Any, message: sdk.KafkaMessage) -> RawRecord:
    address = environment.kafka.bootstrap_servers
    await asyncio.to_thread(write, address, topics.commands, message)
    return await first_record(address, topics.commands)


@pytest.mark.parametrize("write_in", [sdk.to_binary_event, sdk.to_structured_event], ids=["binary", "structured"])
async def test_a_command_written_by_the_sdk_is_read(environment: Any, topics: Any, write_in: Any) -> None:
    evaluation = str(uuid4())
    message = write_in(command_of(evaluation, time=NOON, expirytime=NOON, sequence="7", correlationid="nightly"))
    envelope, command = decode_command(await written_and_read(environment, topics, message))
    assert str(command.evaluation_id) == evaluation
    assert (envelope.id, envelope.source, envelope.correlationid) == ("command-1", "/stranger", "nightly")
    assert (envelope.time, envelope.expirytime, envelope.sequence) == (NOON, NOON, 7)


async def test_a_structured_command_with_ce_headers_beside_it_is_read_as_structured(
    environment: Any, topics: Any
) -> None:
    """The SDK itself mistakes such a record for a binary one."""
    evaluation = str(uuid4())
    structured = sdk.to_structured_event(command_of(evaluation))
    old = sdk.to_binary_event(command_of(evaluation, id="an-old-copy")).headers
    message = sdk.KafkaMessage(headers={**old, **structured.headers}, key=structured.key, value=structured.value)
    assert sdk.from_kafka_event(message).get_id() == "an-old-copy"
    envelope, command = decode_command(await written_and_read(environment, topics, message))
    assert (envelope.id, str(command.evaluation_id)) == ("command-1", evaluation)


async def test_a_command_without_specversion_is_refused_although_the_sdk_takes_it(
    environment: Any, topics: Any
) -> None:
    message = sdk.to_binary_event(command_of(str(uuid4())))
    spoiled = {name: text for name, text in message.headers.items() if name != "ce_specversion"}
    message = sdk.KafkaMessage(headers=spoiled, key=message.key, value=message.value)
    assert sdk.from_kafka_event(message).get_type() == COMMAND_TYPE
    with pytest.raises(UndecodableRecord, match="specversion is missing"):
        decode_command(await written_and_read(environment, topics, message))


async def test_a_bare_command_from_a_shell_is_read(environment: Any, topics: Any) -> None:
    evaluation = str(uuid4())
    bare = sdk.KafkaMessage(headers={}, key=None, value=json.dumps(data_of(evaluation)).encode())
    envelope, command = decode_command(await written_and_read(environment, topics, bare))
    assert str(command.evaluation_id) == evaluation
    assert envelope.type == COMMAND_TYPE


async def test_an_event_is_read_by_the_sdk(environment: Any, topics: Any) -> None:
    """The SDK overwrites the partition key with the record's key, so both must be the same."""
    event = EvaluationCancelAccepted(
        evaluation_id=uuid4(),
        cancellation_id=uuid4(),
        team_id="team-7",
        status_before="running",
        requested_by=Actor(kind="user", id="ada"),
        reason="größer",
        accepted_at=NOON,
    )
    name = "EvaluationCancelAccepted"
    envelope = Envelope(
        id=str(uuid4()),
        source="/consumer",
        type=TYPE_PREFIX + name,
        time=NOON,
        dataschema=schema_uri(name),
        causationid="command-1",
        sequence=42,
    )
    encoded = encode_event(envelope, event)
    address = environment.kafka.bootstrap_servers
    async with AIOKafkaProducer(bootstrap_servers=address) as producer:
        await producer.send_and_wait(topics.events, key=encoded.key, value=encoded.value, headers=encoded.headers)
    read = await asyncio.to_thread(read_by_stranger, address, topics.events)
    assert (read.get_id(), read.get_source(), read.get_type()) == (envelope.id, "/consumer", TYPE_PREFIX + name)
    assert (read.get_time(), read.get_subject(), read.get_dataschema()) == (
        NOON,
        str(event.evaluation_id),
        "urn:vijil:evaluations:v1:EvaluationCancelAccepted",
    )
    extensions = {name: read.get_extension(name) for name in ("partitionkey", "causationid", "sequence")}
    assert extensions == {"partitionkey": str(event.evaluation_id), "causationid": "command-1", "sequence": "42"}
    assert read.get_data() == event.model_dump(mode="json")


def read_by_stranger(address: str, topic: str) -> Any:
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": address, "group.id": f"stranger-{uuid4()}", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    try:
        record = consumer.poll(PATIENCE)
        assert record is not None
        assert record.error() is None
        return sdk.from_kafka_event(
            sdk.KafkaMessage(headers=dict(record.headers() or []), key=record.key(), value=record.value())
        )
    finally:
        consumer.close()
