"""Reads partitions of Kafka for audit: chosen by hand, in no group, committing nothing.

`KafkaLog` is the client with bounded calls; `read_range` goes from one set of offsets to another and ends, whatever
control records or gaps lie there, because it compares positions and not the last record's offset.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, UnknownTopicOrPartitionError

from consumer.errors import TemporaryError
from schemas.headers_decoder import install
from schemas.records import RawRecord

_CALL_TIMEOUT: Final = 15.0
_STOP_TIMEOUT: Final = 2.0
_MAX_RECORDS: Final = 4000
Partition = tuple[str, int]


class Expired(TemporaryError):  # noqa: N818  # says what has happened to the records
    """Kafka no longer has, or does not yet have, the offset that was asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """Records of one partition that follow on one another, and where the next one is."""

    partition: Partition
    records: Sequence[RawRecord]
    began_at: int
    """The position before it. Offsets from here to `position` that are not among the records hold none."""
    position: int


class KafkaLog:
    """Made by `open_log`. Every call is bounded and raises `TemporaryError`."""

    def __init__(self, client: AIOKafkaConsumer, partitions: Sequence[Partition]) -> None:
        self._client = client
        self.partitions = partitions
        """All partitions of the topics that exist."""
        self._reading: list[TopicPartition] = []

    async def bounds(self) -> dict[Partition, tuple[int, int]]:
        """The first offset that is retained, and the end: what a reader of this isolation level can get to."""
        all_of_them = [TopicPartition(*p) for p in self.partitions]
        with translated():
            async with asyncio.timeout(_CALL_TIMEOUT):
                first = await self._client.beginning_offsets(all_of_them)
                end = await self._client.end_offsets(all_of_them)
        return {(p.topic, p.partition): (first[p], end[p]) for p in all_of_them}

    async def offsets_at(self, timestamp_ms: int, among: Iterable[Partition]) -> dict[Partition, int | None]:
        """The first offset with a record this old or younger; None where there is none."""
        wanted = {TopicPartition(*p): max(0, timestamp_ms) for p in among}
        if not wanted:
            return {}
        with translated():
            async with asyncio.timeout(_CALL_TIMEOUT):
                found = await self._client.offsets_for_times(wanted)
        return {(p.topic, p.partition): None if at is None else at.offset for p, at in found.items()}

    def read_from(self, positions: Mapping[Partition, int]) -> None:
        """Reads these partitions, from these offsets, from now on."""
        self._reading = [TopicPartition(*p) for p in positions]
        self._client.assign(self._reading)
        for partition, offset in positions.items():
            self.seek(partition, offset)

    def seek(self, partition: Partition, offset: int) -> None:
        self._client.seek(TopicPartition(*partition), offset)

    async def read(self, timeout: float, *, only: Sequence[Partition] = ()) -> list[Read]:  # noqa: ASYNC109
        """What has come, within this time; also the partitions whose position moved without a record."""
        before = {p: await self._client.position(p) for p in self._reading}
        wanted = [TopicPartition(*p) for p in only]
        with translated():
            fetched = await self._client.getmany(*wanted, timeout_ms=int(timeout * 1000), max_records=_MAX_RECORDS)
        reads = []
        for partition in self._reading:
            position = await self._client.position(partition)
            records = fetched.get(partition, ())
            if records or position != before[partition]:
                found = [RawRecord.of(record) for record in records]
                name = (partition.topic, partition.partition)
                reads.append(Read(partition=name, records=found, began_at=before[partition], position=position))
        return reads


@asynccontextmanager
async def open_log(
    client_settings: Mapping[str, Any], isolation_level: str, topics: Sequence[str]
) -> AsyncIterator[KafkaLog]:
    """Connects; the topics that do not exist are simply not among the partitions."""
    install()
    client = AIOKafkaConsumer(
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level=isolation_level,
        fetch_max_bytes=16 * 1024 * 1024,
        max_partition_fetch_bytes=2 * 1024 * 1024,
        retry_backoff_ms=200,
        **client_settings,
    )
    try:
        with translated():
            async with asyncio.timeout(_CALL_TIMEOUT):
                await client.start()
                partitions = await partitions_of(client_settings, topics)
        yield KafkaLog(client, partitions)
    finally:
        stopping = asyncio.ensure_future(client.stop())
        with suppress(KafkaError, OSError):
            await asyncio.wait([stopping], timeout=_STOP_TIMEOUT)
        if not stopping.done():
            stopping.cancel()


async def partitions_of(client_settings: Mapping[str, Any], topics: Sequence[str]) -> list[Partition]:
    """Of those topics that exist."""
    admin = AIOKafkaAdminClient(**client_settings)
    await admin.start()
    try:
        # Of all topics: asking for one by name could make a broker create it.
        described = await admin.describe_topics()
    finally:
        await admin.close()
    found = {d["topic"]: [p["partition"] for p in d["partitions"]] for d in described if not d["error_code"]}
    return [(topic, partition) for topic in topics for partition in sorted(found.get(topic, ()))]


async def read_range(
    log: KafkaLog,
    ranges: Mapping[Partition, tuple[int, int]],
    *,
    patience: float,
    expired: Callable[[Partition, int, int], None],
) -> AsyncIterator[Read]:
    """From the first offset of each range up to, not including, the second. Raises when nothing moves for `patience`
    seconds. Order holds within a partition; what is read at once is of several. `expired` is told when the broker
    drops records before they could be read: the partition, the offset wanted, and where it goes on.
    """
    positions = {p: first for p, (first, end) in ranges.items() if first < end}
    if not positions:
        return
    log.read_from(positions)
    moved_at = time.monotonic()
    while positions:
        try:
            reads = await log.read(min(1.0, patience), only=tuple(positions))
        except Expired:
            await _skip_expired(log, positions, ranges, expired)
            continue
        for read in reads:
            moved_at = time.monotonic()
            end = ranges[read.partition][1]
            if read.partition not in positions:
                continue
            positions[read.partition] = read.position
            if read.position >= end:
                del positions[read.partition]
                # Only the part that was asked for.
                inside = [r for r in read.records if r.offset < end]
                yield Read(partition=read.partition, records=inside, began_at=read.began_at, position=end)
            else:
                yield read
        if time.monotonic() - moved_at > patience:
            left = ", ".join(f"{t}[{p}] from {at}" for (t, p), at in sorted(positions.items())[:3])
            raise TemporaryError("kafka_stalled", f"nothing has come for {patience:g} s; left: {left}")


async def _skip_expired(
    log: KafkaLog,
    positions: dict[Partition, int],
    ranges: Mapping[Partition, tuple[int, int]],
    expired: Callable[[Partition, int, int], None],
) -> None:
    bounds = await log.bounds()
    for partition, position in list(positions.items()):
        first = bounds[partition][0]
        if position < first:
            goes_on = min(first, ranges[partition][1])
            expired(partition, position, goes_on)
            positions[partition] = goes_on
            log.seek(partition, first)
            if goes_on == ranges[partition][1]:
                del positions[partition]


@contextmanager
def translated() -> Iterator[None]:
    """The client's errors as ours."""
    try:
        yield
    except OffsetOutOfRangeError as error:
        raise Expired("offset_out_of_range", str(error)) from error
    except UnknownTopicOrPartitionError as error:
        raise TemporaryError("unknown_topic", str(error)) from error
    except (KafkaError, OSError, TimeoutError) as error:
        raise TemporaryError("kafka_unavailable", str(error) or type(error).__name__) from error
