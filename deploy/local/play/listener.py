"""Reads the events topic and the dead letters from their beginning, as any downstream service would, and keeps all.

No consumer group and no commits. What an event means to the reader of the demo's screen is said in `words.py`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from uuid import UUID

from aiokafka import AIOKafkaConsumer

from deploy.local.errors import NotAsToldError
from evaluation_cancel.schemas.envelope import Envelope
from evaluation_cancel.schemas.events import Event
from evaluation_cancel.schemas.kafka_settings import KafkaSettings
from evaluation_cancel.schemas.wire.codec import RawRecord, decode_event
from evaluation_cancel.schemas.wire.fetched import install

PATIENCE = 60.0
"""Seconds; only a story that goes wrong waits for all of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """One record of the events topic, and when it came (`time.monotonic()`)."""

    at: float
    record: RawRecord
    envelope: Envelope
    event: Event

    @property
    def type(self) -> str:
        return self.envelope.short_type


class Listener:
    """What was heard so far; `on_event` and `on_dead_letter` are called for each record as it comes."""

    def __init__(self) -> None:
        self.events: list[Heard] = []
        self.dead_letters: list[RawRecord] = []
        self.on_event: Callable[[Heard], None] = lambda _heard: None
        self.on_dead_letter: Callable[[RawRecord], None] = lambda _record: None
        self._changed = asyncio.Event()

    def of(self, evaluation_id: UUID) -> list[Heard]:
        """The records of one evaluation in their order, copies included."""
        return [heard for heard in self.events if heard.event.evaluation_id == evaluation_id]

    def first(self, evaluation_id: UUID, kind: str) -> Heard | None:
        return next((heard for heard in self.of(evaluation_id) if heard.type == kind), None)

    async def until(self, holds: Callable[[], bool], what: str, *, within: float = PATIENCE) -> None:
        """Wait for a record that makes `holds` true; `what` was awaited, says the error if none comes."""
        deadline = time.monotonic() + within
        while not holds():
            self._changed.clear()
            left = deadline - time.monotonic()
            if left <= 0:
                raise NotAsToldError(f"within {within:g} s there was no {what}")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)

    async def settled(self, *, quiet: float = 0.5) -> None:
        """Wait until nothing has come for a moment: a message that comes twice may still be on its way."""
        while True:
            known = len(self.events) + len(self.dead_letters)
            await asyncio.sleep(quiet)
            if known == len(self.events) + len(self.dead_letters):
                return

    async def heard(self, evaluation_id: UUID, kind: str, *, times: int = 1) -> None:
        """Wait for an event of this type about this evaluation."""

        def holds() -> bool:
            return sum(heard.type == kind for heard in self.of(evaluation_id)) >= times

        await self.until(holds, f"{kind} of {evaluation_id}")

    async def listen(self, consumer: AIOKafkaConsumer, events_topic: str) -> None:
        """Until cancelled."""
        while True:
            for messages in (await consumer.getmany(timeout_ms=200)).values():
                for message in messages:
                    self._take(RawRecord.of(message), events_topic)
            self._changed.set()

    def _take(self, record: RawRecord, events_topic: str) -> None:
        if record.topic != events_topic:
            self.dead_letters.append(record)
            self.on_dead_letter(record)
            return
        envelope, event = decode_event(record)
        heard = Heard(at=time.monotonic(), record=record, envelope=envelope, event=event)
        self.events.append(heard)
        self.on_event(heard)


@asynccontextmanager
async def listening(kafka: KafkaSettings) -> AsyncIterator[Listener]:
    install()
    topics = kafka.topics
    consumer = AIOKafkaConsumer(
        topics.events,
        topics.dead_letters,
        **kafka.kafka_client(),
        isolation_level=kafka.kafka_isolation_level,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
    )
    await consumer.start()
    listener = Listener()
    task = asyncio.create_task(listener.listen(consumer, topics.events))
    try:
        yield listener
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await consumer.stop()
