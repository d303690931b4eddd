"""Builds one Kafka batch for each partition and passes the batches to the client.

The client's `send` costs a future, a partition lookup and a slow hash for every record; a batch costs one of each. Keys
map to partitions by Kafka's usual rule (murmur2), as with any other client. `event_producer.py` interprets the results.
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
"""Errors that a retry does not help."""

_LOOK_UP_SECONDS: Final = 1.5
"""Deadline for partition lookups: a reachable broker answers at once. Well below the deadline of a send."""
_MIX: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF
_SEED: Final = 0x9747B28C


@dataclass(slots=True)
class _Batch:
    """A batch for one partition, and the indexes of its records."""

    topic: str
    partition: int
    builder: Any
    numbers: list[int] = field(default_factory=list)


Placed = list[asyncio.Future[Any] | SendResult | None]
"""For each record the future of its batch, or the reason why there is none; None until it is handed over."""


async def hand_over(client: AIOKafkaProducer, records: Sequence[Record], placed: Placed) -> None:
    """Hands the records to the client. Fills in `placed` on the way, so it is right after an error too."""
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
            # A record that the client cannot encode must not prevent the others from being sent.
            placed[number] = Refused(code="unsendable", detail=scrub(f"{type(error).__name__}: {error}"))
        else:
            batch.numbers.append(number)
    yield from (batch for batch in filling.values() if batch.numbers)


def refused(error: BaseException) -> Refused:
    """The result for one of the `REFUSED` errors."""
    return Refused(code=_CODES[type(error)], detail=scrub(str(error)))


def _seen(future: asyncio.Future[Any]) -> None:
    """Retrieves an error that comes after the deadline; otherwise asyncio logs it as never retrieved."""
    if not future.cancelled():
        future.exception()


def partition_of(key: bytes | None, partitions: Sequence[int]) -> int:
    """The partition of a key, as Kafka's clients choose it; random for a record without a key."""
    if key is None:
        return random.choice(partitions)  # noqa: S311
    return partitions[(murmur2(key) & 0x7FFFFFFF) % len(partitions)]


@lru_cache(maxsize=8192)
def murmur2(key: bytes) -> int:
    """The hash of Kafka's Java client. Cached, because the events of one key come soon after each other."""
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
