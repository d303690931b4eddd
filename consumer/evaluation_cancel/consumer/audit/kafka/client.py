"""Audit's Kafka client: assigned partitions, no consumer group, no commits, a timeout on every call.

`reading.py` defines the port and reads ranges with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, UnknownTopicOrPartitionError

from evaluation_cancel.consumer.audit.kafka.reading import Expired, Partition, Read
from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.kafka.unreadable import UnreadablePartitions
from evaluation_cancel.schemas.wire.fetched import install
from evaluation_cancel.schemas.wire.records import RawRecord, UnreadableRecord

_CALL_TIMEOUT: Final = 15.0
_STOP_TIMEOUT: Final = 2.0
_MAX_RECORDS: Final = 4000


class KafkaLog:
    """Implements `reading.Log`. Open it with `open_log`."""

    def __init__(self, client: AIOKafkaConsumer, partitions: Sequence[Partition]) -> None:
        self._client = client
        self.partitions = partitions
        self._reading: list[TopicPartition] = []
        self._unreadable = UnreadablePartitions()

    async def bounds(self) -> dict[Partition, tuple[int, int]]:
        partitions = [TopicPartition(*p) for p in self.partitions]
        with translated():
            async with asyncio.timeout(_CALL_TIMEOUT):
                first = await self._client.beginning_offsets(partitions)
                end = await self._client.end_offsets(partitions)
        return {(p.topic, p.partition): (first[p], end[p]) for p in partitions}

    async def offsets_at(self, timestamp_ms: int, among: Iterable[Partition]) -> dict[Partition, int | None]:
        wanted = {TopicPartition(*p): max(0, timestamp_ms) for p in among}
        if not wanted:
            return {}
        with translated():
            async with asyncio.timeout(_CALL_TIMEOUT):
                found = await self._client.offsets_for_times(wanted)
        return {(p.topic, p.partition): None if at is None else at.offset for p, at in found.items()}

    def read_from(self, positions: Mapping[Partition, int]) -> None:
        self._reading = [TopicPartition(*p) for p in positions]
        self._client.assign(self._reading)
        self._unreadable.clear()
        for partition, offset in positions.items():
            self.seek(partition, offset)

    def seek(self, partition: Partition, offset: int) -> None:
        self._client.seek(TopicPartition(*partition), offset)

    async def read(self, timeout: float, *, only: Sequence[Partition] = ()) -> list[Read]:  # noqa: ASYNC109
        for partition, standing in self._unreadable.due().items():
            self._client.seek(partition, standing.offset)
            self._client.resume(partition)
        before = {p: await self._client.position(p) for p in self._reading}
        wanted = [TopicPartition(*p) for p in only]
        with translated():
            fetched = await self._client.getmany(*wanted, timeout_ms=int(timeout * 1000), max_records=_MAX_RECORDS)
        found = {p: self._readable(p, records, before[p]) for p, records in fetched.items()}
        reads = []
        for partition in self._reading:
            position = await self._client.position(partition)
            records = found.get(partition, [])
            if records or position != before[partition]:
                name = (partition.topic, partition.partition)
                reads.append(Read(partition=name, records=records, began_at=before[partition], position=position))
        return reads

    def _readable(self, partition: TopicPartition, records: Sequence[Any], begins_at: int) -> list[RawRecord]:
        """The records up to the first that cannot be read; the partition stands still there, and the others go on."""
        found: list[RawRecord] = []
        for record in records:
            try:
                found.append(RawRecord.of(record))
            except UnreadableRecord as error:
                offset = found[-1].offset + 1 if found else begins_at
                self._client.seek(partition, offset)
                self._client.pause(partition)
                self._unreadable.found(partition, offset, str(error))
                return found
        if found:
            self._unreadable.read(partition)
        return found


@asynccontextmanager
async def open_log(
    client_settings: Mapping[str, Any], isolation_level: str, topics: Sequence[str]
) -> AsyncIterator[KafkaLog]:
    """Connect to the broker. Topics that do not exist have no partitions in the log."""
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
    """All partitions of these topics; topics that do not exist are left out."""
    admin = AIOKafkaAdminClient(**client_settings)
    await admin.start()
    try:
        # Describe all topics: a request for one name could make the broker create it.
        described = await admin.describe_topics()
    finally:
        await admin.close()
    found = {d["topic"]: [p["partition"] for p in d["partitions"]] for d in described if not d["error_code"]}
    return [(topic, partition) for topic in topics for partition in sorted(found.get(topic, ()))]


@contextmanager
def translated() -> Iterator[None]:
    """Turn the client's errors into `Expired` and `TemporaryError`."""
    try:
        yield
    except OffsetOutOfRangeError as error:
        raise Expired("offset_out_of_range", str(error)) from error
    except UnknownTopicOrPartitionError as error:
        raise TemporaryError("unknown_topic", str(error)) from error
    except (KafkaError, OSError, TimeoutError) as error:
        raise TemporaryError("kafka_unavailable", str(error) or type(error).__name__) from error
