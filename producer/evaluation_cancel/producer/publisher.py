"""Publishes CancelEvaluation commands; made to be imported by other services.

    async with Publisher(client={"bootstrap_servers": "kafka:9092"}, source="/reports/api") as publisher:
        receipt = await publisher.cancel(evaluation_id, RequestedBy(kind="user", id="ada", team_ids=("team-7",)))

An acknowledged command is on all replicas; what was decided about it comes later, as events: outcomes.py. The producer
underneath is made anew after errors, see kafka_producer.py. Sending a command twice is harmless: its id counts once.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)
from pydantic import ValidationError

from evaluation_cancel.producer.errors import PublishRefused, PublishUnknown
from evaluation_cancel.producer.kafka_connect import RETRY_SECONDS, connect_within
from evaluation_cancel.producer.kafka_producer import started_producer, stop_producer
from evaluation_cancel.schemas.commands import CancelEvaluation, RequestedBy
from evaluation_cancel.schemas.envelope import Envelope, schema_uri
from evaluation_cancel.schemas.identifiers import uuid7
from evaluation_cancel.schemas.topics import Topics
from evaluation_cancel.schemas.wire.codec import (
    COMMAND_TYPE,
    EncodedRecord,
    RawRecord,
    UndecodableRecord,
    decode_command,
    encode_command,
)

_REFUSALS: Final = (
    MessageSizeTooLargeError,
    InvalidTopicError,
    TopicAuthorizationFailedError,
    ClusterAuthorizationFailedError,  # what a client that may write to no topic at all is told
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """Where Kafka keeps the command."""

    topic: str
    partition: int
    offset: int
    command_id: str


class Publisher:
    """Safe to share by all tasks of one event loop."""

    def __init__(
        self,
        *,
        client: Mapping[str, Any],
        source: str,
        topics: Topics | None = None,
        publish_timeout: float = 10.0,
        connect_timeout: float = 30.0,
        stop_timeout: float = 5.0,
    ) -> None:
        """`client`: aiokafka's arguments to reach the brokers. `source`: the CloudEvents source of this service."""
        self._client = dict(client)
        self._source = source
        self._topic = (topics or Topics()).commands
        self._publish_timeout = publish_timeout
        self._connect_timeout = connect_timeout
        self._stop_timeout = stop_timeout
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Optional: the first command connects too. Tries for `connect_timeout`, then raises KafkaUnreachable."""
        await connect_within(self._current, seconds=self._connect_timeout, failure="Kafka was not reached")

    async def stop(self) -> None:
        """Never takes much longer than `stop_timeout`, whatever the broker does."""
        if self._producer is not None:
            self._retire(self._producer)
        if self._retiring:
            await asyncio.wait(self._retiring)

    async def cancel(
        self,
        evaluation_id: UUID | str,
        requested_by: RequestedBy,
        *,
        reason: str | None = None,
        cleanup_artifacts: bool = False,
        command_id: str | UUID | None = None,
        source: str | None = None,
        expires_at: datetime | None = None,
        correlation_id: str | None = None,
        traceparent: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - its end is an outcome with a name, not a cancellation
    ) -> Receipt:
        """Returns once Kafka has it. Raises PublishUnknown, PublishRefused, or ValueError for what cannot be sent."""
        envelope = Envelope(
            id=str(command_id or uuid7()),
            source=source or self._source,
            type=COMMAND_TYPE,
            time=datetime.now(UTC),
            dataschema=schema_uri("CancelEvaluation"),
            expirytime=expires_at,
            correlationid=correlation_id,
            traceparent=traceparent,
        )
        wish = {
            "evaluation_id": evaluation_id,
            "requested_by": requested_by,
            "reason": reason,
            "cleanup_artifacts": cleanup_artifacts,
        }
        record = _encoded(envelope, wish, self._topic)
        return await self._publish(record, envelope.id, timeout or self._publish_timeout)

    async def _publish(self, record: EncodedRecord, command_id: str, seconds: float) -> Receipt:
        last: Exception | None = None
        producer: AIOKafkaProducer | None = None
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        producer = await self._current()
                        return await self._send(producer, record, command_id)
                    except _REFUSALS as error:
                        if last is not None:  # an earlier try may have arrived
                            raise PublishUnknown(command_id, f"Kafka said {last!r}, and then {error!r}") from error
                        raise PublishRefused(command_id, f"Kafka refused the command: {error!r}") from error
                    except (KafkaError, OSError) as error:
                        last = error
                        self._retire(producer)
                        await asyncio.sleep(RETRY_SECONDS)
        except TimeoutError:
            self._retire(producer)
            raise PublishUnknown(
                command_id, f"Kafka did not acknowledge in {seconds:g} s: {last or 'no answer'}"
            ) from last

    async def _send(self, producer: AIOKafkaProducer, record: EncodedRecord, command_id: str) -> Receipt:
        kept = await producer.send_and_wait(self._topic, record.value, key=record.key, headers=record.headers)
        return Receipt(topic=kept.topic, partition=kept.partition, offset=kept.offset, command_id=command_id)

    async def _current(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                self._producer = await started_producer(self._client, self._publish_timeout)
            return self._producer

    def _retire(self, producer: AIOKafkaProducer | None) -> None:
        """The next command gets a new one; what the old one still has in flight gets `stop_timeout` to arrive."""
        if producer is None or producer is not self._producer:
            return
        self._producer = None
        task = asyncio.create_task(stop_producer(producer, self._stop_timeout))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)


def _encoded(envelope: Envelope, wish: dict[str, Any], topic: str) -> EncodedRecord:
    """Whatever the reader would refuse is refused here, before it becomes a dead letter."""
    try:
        record = encode_command(envelope, CancelEvaluation.model_validate(wish))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    raw = RawRecord(
        topic=topic,
        partition=0,
        offset=0,
        timestamp_ms=0,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )
    try:
        decode_command(raw, accept_bare=False)
    except UndecodableRecord as error:
        raise ValueError(f"{error.field}: {error.problem}") from None
    return record
