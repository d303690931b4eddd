"""Puts the records of a round into Kafka's batches by hand, one for each partition, and hands them to the client.

The client's `send` costs a future, a look-up of the partitions and a slow hash for every record; a batch costs one of
each. Which partition a key belongs to is Kafka's usual rule (murmur2), so that readers find what they always did.
What the results mean is said in `event_producer.py`.
"""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from evaluation_cancel.consumer.domain.errors import scrub
from evaluation_cancel.consumer.outbox.ports import Record, Refused, SendResult

_CODES: Mapping[type[BaseException], str] = {
    MessageSizeTooLargeError: "message_too_large",
    RecordListTooLargeError: "message_too_large",
    RecordTooLargeError: "message_too_large",
    TopicAuthorizationFailedError: "topic_not_authorized",
    ClusterAuthorizationFailedError: "cluster_not_authorized",  # told to a client that may write to no topic at all
    InvalidTopicError: "invalid_topic",
}
REFUSED: Final = tuple(_CODES)
"""Errors after which trying again is of no use."""

_LOOK_UP_SECONDS: Final = 1.5
"""A broker that is there answers at once; well below the time for a round."""
_MIX: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF
_SEED: Final = 0x9747B28C


@dataclass(slots=True)
class _Batch:
    """What goes to one partition at once, and which of the records that is."""

    topic: str
    partition: int
    builder: Any
    numbers: list[int] = field(default_factory=list)


Placed = list[asyncio.Future[Any] | SendResult | None]
"""For each record the future of its batch, or why there is none; None while it has not been handed over."""


async def hand_over(client: AIOKafkaProducer, records: Sequence[Record], placed: Placed) -> None:
    """Fills in `placed` as it goes, so that after an error it tells what was handed over before."""
    partitions = await _partitions(client, {record.topic for record in records})
    for batch in list(_batches(client, records, partitions, placed)):
        try:
            future = await client.send_batch(batch.builder, batch.topic, partition=batch.partition)
        except REFUSED as error:
            outcome: asyncio.Future[Any] | Refused = refused(error)
        else:
            future.add_done_callback(_seen)
            outcome = future
        for number in batch.numbers:
            placed[number] = outcome


async def _partitions(client: AIOKafkaProducer, topics: Iterable[str]) -> dict[str, list[int] | Refused]:
    """A topic that is missing while others are there is refused: waiting for it would keep all others waiting too."""
    partitions: dict[str, list[int] | Refused] = {}
    missing: list[str] = []
    for topic in topics:
        try:
            async with asyncio.timeout(_LOOK_UP_SECONDS):
                partitions[topic] = sorted(await client.partitions_for(topic))
        except REFUSED as error:
            partitions[topic] = refused(error)
        except (TimeoutError, UnknownTopicOrPartitionError):
            missing.append(topic)
    if missing and not partitions:
        raise TimeoutError("the broker told of no topic in time")
    for topic in missing:
        partitions[topic] = Refused(code="topic_missing", detail=f"the broker tells of no topic {topic}")
    return partitions


def _batches(
    client: AIOKafkaProducer, records: Sequence[Record], partitions: dict[str, list[int] | Refused], placed: Placed
) -> Iterator[_Batch]:
    """The full batches as they fill up, then the others. A record alone may be larger than a batch."""
    filling: dict[tuple[str, int], _Batch] = {}
    for number, (topic, key, value, headers) in enumerate(records):
        numbers = partitions[topic]
        if isinstance(numbers, Refused):
            placed[number] = numbers
            continue
        if key is None and value is None:
            key = b""  # noqa: PLW2901  # the client sends nothing without both, and a dead letter of that is to be sent
        try:
            where = (topic, partition_of(key, numbers))
            batch = filling.get(where) or filling.setdefault(where, _Batch(*where, client.create_batch()))
            if batch.builder.append(timestamp=None, key=key, value=value, headers=headers) is None:
                yield batch
                batch = filling[where] = _Batch(*where, client.create_batch())
                batch.builder.append(timestamp=None, key=key, value=value, headers=headers)
        except (AssertionError, AttributeError, TypeError, ValueError, struct.error) as error:
            # One message that the client cannot make sense of must not keep all others from being sent.
            placed[number] = Refused(code="unsendable", detail=scrub(f"{type(error).__name__}: {error}"))
        else:
            batch.numbers.append(number)
    yield from (batch for batch in filling.values() if batch.numbers)


def refused(error: BaseException) -> Refused:
    return Refused(code=_CODES[type(error)], detail=scrub(str(error)))


def _seen(future: asyncio.Future[Any]) -> None:
    """An error that comes after the deadline is nobody's any more; without this it is logged as a mistake."""
    if not future.cancelled():
        future.exception()


def partition_of(key: bytes | None, partitions: Sequence[int]) -> int:
    """Where Kafka's clients put a key; a record without one may go anywhere."""
    if key is None:
        return random.choice(partitions)  # noqa: S311
    return partitions[(murmur2(key) & 0x7FFFFFFF) % len(partitions)]


@lru_cache(maxsize=8192)
def murmur2(key: bytes) -> int:
    """As in Kafka's Java client. Remembered, because the events of one key come soon after each other."""
    whole = len(key) // 4
    state = _SEED ^ len(key)
    for word in struct.unpack_from(f"<{whole}I", key):
        word = word * _MIX & _MASK  # noqa: PLW2901
        state = (state * _MIX ^ (word ^ word >> 24) * _MIX) & _MASK
    rest = key[4 * whole :]
    if rest:
        state = (state ^ int.from_bytes(rest, "little")) * _MIX & _MASK
    state = (state ^ state >> 13) * _MIX & _MASK
    return state ^ state >> 15
