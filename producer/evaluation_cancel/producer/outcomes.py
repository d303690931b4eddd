"""Reads the events topic and the dead letters from their ends on, and tells what became of the commands followed.

    async with OutcomeFollower(client=…) as follower:
        followed = follower.follow(source=…, command_id=…, evaluation_id=…)   # before publishing
        …
        outcome = await followed.outcome

No consumer group and no commits: every follower sees all events. Which event means what: tracking.py. A program that
follows should call evaluation_cancel.schemas.wire.fetched.install() at its start, or one stranger's record can
end its reading.
"""

import asyncio
import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from evaluation_cancel.producer.errors import KafkaUnreachable
from evaluation_cancel.producer.kafka_connect import RETRY_SECONDS, connect_within
from evaluation_cancel.producer.tracking import Tracker
from evaluation_cancel.schemas.topics import Topics
from evaluation_cancel.schemas.wire.codec import RawRecord, UndecodableRecord, decode_event
from evaluation_cancel.schemas.wire.records import UnreadableRecord

POLL_MS: Final = 500
_LOOKS_EVERY: Final = 0.1

_log = logging.getLogger(__name__)


class OutcomeFollower(Tracker):
    """Start it before publishing: what is published earlier is not seen."""

    def __init__(
        self,
        *,
        client: Mapping[str, Any],
        topics: Topics | None = None,
        isolation_level: str = "read_committed",
        connect_timeout: float = 30.0,
        stop_timeout: float = 5.0,
    ) -> None:
        super().__init__()
        self._client = dict(client)
        self._topics = topics or Topics()
        self._isolation_level = isolation_level
        self._connect_timeout = connect_timeout
        self._stop_timeout = stop_timeout
        self._next: dict[TopicPartition, int] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Returns once the ends are known.

        Raises KafkaUnreachable after `connect_timeout`, and at once when the login may not read the topics.
        """
        self._consumer = await connect_within(
            self._connected, seconds=self._connect_timeout, failure="The events could not be read"
        )
        self._reading = asyncio.create_task(self._read_for_ever())
        self._reading.add_done_callback(self._reader_ended)

    async def stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
        await self._hang_up(self._consumer)

    def _reader_ended(self, reading: asyncio.Task[None]) -> None:
        error = None if reading.cancelled() else reading.exception()
        if error is not None:
            self.fail(error)

    async def _connected(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            self._topics.events,
            self._topics.dead_letters,
            auto_offset_reset="earliest",
            isolation_level=self._isolation_level,
            retry_backoff_ms=int(RETRY_SECONDS * 1000),
            **self._client,
        )
        try:
            await self._start(consumer)
            partitions = consumer.assignment()
            if not self._next:
                self._next = await consumer.end_offsets(list(partitions))
            for partition in partitions:
                consumer.seek(partition, self._next.setdefault(partition, 0))
        except BaseException:
            await self._hang_up(consumer)
            raise
        return consumer

    async def _start(self, consumer: AIOKafkaConsumer) -> None:
        """Aiokafka waits for ever for a topic that the login may not see."""
        starting = asyncio.ensure_future(consumer.start())
        try:
            while not starting.done():
                await asyncio.wait({starting}, timeout=_LOOKS_EVERY)
                hidden = sorted(consumer._client.cluster.unauthorized_topics)  # noqa: SLF001
                if hidden:
                    raise KafkaUnreachable(
                        f"The login may not read {' and '.join(hidden)}: to wait for outcomes it needs Read and"
                        " Describe there. No command was published."
                    )
        finally:
            if not starting.done():
                starting.cancel()
                await asyncio.wait({starting})
        starting.result()

    async def _read_for_ever(self) -> None:
        while True:
            try:
                if self._consumer is None:
                    self._consumer = await self._connected()
                await self._read(self._consumer)
            except (KafkaError, OSError) as error:
                _log.warning(
                    "Reading the events failed; it starts anew.", extra={"action": "events_lost", "error": repr(error)}
                )
                lost, self._consumer = self._consumer, None
                await self._hang_up(lost)
                await asyncio.sleep(RETRY_SECONDS)

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            for partition, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
                for record in records:
                    try:
                        self._see(RawRecord.of(record))
                    except UnreadableRecord as error:
                        raise KafkaError(f"{partition} cannot be read: {error}") from error
                self._next[partition] = records[-1].offset + 1

    def _see(self, record: RawRecord) -> None:
        if record.topic == self._topics.dead_letters:
            self._see_dead_letter({name: (value or b"").decode(errors="replace") for name, value in record.headers})
            return
        try:
            self.observe(*decode_event(record))
        except UndecodableRecord as error:
            _log.debug("An event cannot be read and is skipped.", extra={"action": "event_skipped", "code": error.code})

    def _see_dead_letter(self, headers: dict[str, str]) -> None:
        try:
            position = (headers["dlq_topic"], int(headers["dlq_partition"]), int(headers["dlq_offset"]))
            self.observe_dead_letter(position, headers["dlq_code"], headers["dlq_problem"])
        except (KeyError, ValueError):
            _log.debug("A dead letter of unknown make is skipped.", extra={"action": "dead_letter_skipped"})

    async def _hang_up(self, consumer: AIOKafkaConsumer | None) -> None:
        """`stop` of the client waits for ever while the broker is away, and may end in CancelledError."""
        if consumer is None:
            return
        stopping = asyncio.ensure_future(consumer.stop())
        await asyncio.wait({stopping}, timeout=self._stop_timeout)
        if not stopping.done():
            stopping.cancel()
            await asyncio.wait({stopping}, timeout=1)
        if stopping.done() and not stopping.cancelled():
            stopping.exception()
