"""Reads the commands topic in a consumer group: start offsets from Postgres, explicit commits, stops with a deadline.

The members of the group share the partitions (aiokafka has no cooperative rebalancing). A partition starts at the lower
of Postgres' and Kafka's offset, so a database restored from a backup gets again what it lost. What is committed is the
position of the reader, which moves over control records and aborted transactions too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.intake.loop import ReaderLostError
from evaluation_cancel.consumer.kafka.assignment import Assignment
from evaluation_cancel.consumer.kafka.liveness import ReaderLiveness
from evaluation_cancel.consumer.kafka.unreadable import UnreadablePartitions
from evaluation_cancel.schemas.kafka_causes import listening_to_the_client
from evaluation_cancel.schemas.wire.codec import RawRecord
from evaluation_cancel.schemas.wire.fetched import install
from evaluation_cancel.schemas.wire.records import UnreadableRecord

_log = structlog.get_logger(__name__)

_NEVER_LEAVE_MS: Final = 24 * 60 * 60 * 1000
"""Keep the partitions while Postgres is away, for however long: heartbeats show that this member is alive."""
_CALL_TIMEOUT: Final = 5.0
"""Seconds for a commit or an offset request, which have no deadline in aiokafka."""
_POSITION_TIMEOUT: Final = 0.5
"""Seconds for a position, which the client knows at once unless it just asks for the first one."""
_POSITIONS_EVERY: Final = 1.0
"""Seconds between two looks at positions that moved without a record, or were never committed."""

Offsets = dict[tuple[str, int], int]
"""The next offset of each topic and partition."""


class KafkaCommandReader:
    """One member of the group. Each `start` creates a new client, with certificates and passwords as they are then."""

    def __init__(
        self,
        *,
        topic: str,
        group_id: str,
        client_settings: Callable[[], Mapping[str, Any]],
        isolation_level: str,
        batch: int,
        poll_ms: int,
        saved_offsets: Callable[[], Awaitable[dict[int, int]]],
        instance_id: str | None = None,
    ) -> None:
        self._topic = topic
        self._batch = batch
        self._poll_ms = poll_ms
        self._saved_offsets = saved_offsets
        self._group = {"group_id": group_id, "group_instance_id": instance_id, "isolation_level": isolation_level}
        self._client_settings = client_settings
        self._client: AIOKafkaConsumer | None = None
        self._liveness: ReaderLiveness | None = None
        self._assignment = Assignment()
        self._positions: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._looked_at = 0.0
        self.unreadable = UnreadablePartitions()
        """Partitions that stand still."""

    async def start(self) -> None:
        """Joins the group. Raises `TemporaryError` when no broker answers."""
        install()
        self._assignment = Assignment()  # an earlier client's assignment does not apply to this one
        self._positions, self._committed = {}, {}
        self.unreadable.clear()
        with listening_to_the_client() as causes:
            try:
                self._client = self._new_client()
                await self._client.start()
            except (KafkaError, OSError) as error:
                await self._stop_client()
                raise TemporaryError("kafka_unavailable", causes.behind(error)) from error
        self._liveness = ReaderLiveness(self._client)
        self._client.subscribe([self._topic], listener=self._assignment)

    def _new_client(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_interval_ms=_NEVER_LEAVE_MS,
            session_timeout_ms=10_000,
            heartbeat_interval_ms=1_000,
            rebalance_timeout_ms=30_000,
            retry_backoff_ms=500,
            fetch_max_bytes=16 * 1024 * 1024,
            max_partition_fetch_bytes=2 * 1024 * 1024,
            **self._group,
            **self._client_settings(),
        )

    async def read(self) -> tuple[Sequence[RawRecord], Mapping[tuple[str, int], int]]:
        """See `CommandReader`. Raises `ReaderLostError` when the client has to be made anew."""
        client = self._running()
        self._assignment.nothing_in_flight.set()
        self._forget(self._assignment.take_revoked())
        await self._try_again()
        fetched = await self._fetch(client)
        # What was read in a new partition came before the seek to the right offset; it comes again.
        old = fetched.keys() - self._assignment.new
        records = {partition: self._readable(partition, fetched[partition]) for partition in old}
        try:
            await self._go_to_positions()
        except TemporaryError:
            self._read_again(old)
            raise
        next_offsets = await self._next_offsets(records)
        if next_offsets:
            self._assignment.nothing_in_flight.clear()
        return [record for found in records.values() for record in found], next_offsets

    def _forget(self, revoked: Iterable[TopicPartition]) -> None:
        self.unreadable.revoked(revoked)
        for partition in revoked:
            self._positions.pop(partition, None)
            self._committed.pop(partition, None)

    def _read_again(self, partitions: Iterable[TopicPartition]) -> None:
        """Their records are dropped, so their positions are asked for again too."""
        for partition in partitions:
            self.unreadable.revoked([partition])
            with suppress(IllegalStateError):
                self._running().resume(partition)
            self._assignment.new.add(partition)

    async def _fetch(self, client: AIOKafkaConsumer) -> Mapping[TopicPartition, Sequence[Any]]:
        try:
            fetched: Mapping[TopicPartition, Sequence[Any]] = await client.getmany(
                timeout_ms=self._poll_ms, max_records=self._batch
            )
        except (KafkaError, OSError, RuntimeError) as error:
            # An event loop may raise RuntimeError for a write on a connection that was just closed.
            raise ReaderLostError("kafka_unavailable", f"{type(error).__name__}: {error}") from error
        problem = self._liveness.problem(has_read=bool(fetched)) if self._liveness else None
        if problem is not None:
            raise ReaderLostError("kafka_reader_dead", problem)
        return fetched

    def _readable(self, partition: TopicPartition, messages: Sequence[Any]) -> list[RawRecord]:
        """The records up to the first that cannot be read; the partition stands still there."""
        records: list[RawRecord] = []
        for message in messages:
            try:
                records.append(RawRecord.of(message))
            except UnreadableRecord as error:
                offset = records[-1].offset + 1 if records else self._positions.get(partition, 0)
                self._running().seek(partition, offset)
                self._running().pause(partition)
                self.unreadable.found(partition, offset, str(error))
                return records
        if records:
            self.unreadable.read(partition)
        return records

    async def _try_again(self) -> None:
        """Reads on in partitions that stood still: at the same offset, or behind what an operator has skipped."""
        due = self.unreadable.due()
        if not due:
            return
        saved = await self._saved_offsets()
        for partition, standing in due.items():
            with suppress(IllegalStateError):  # it was revoked meanwhile
                self._seek_to(partition, max(standing.offset, saved.get(partition.partition, 0)))
                self._running().resume(partition)

    async def _go_to_positions(self) -> None:
        """Seeks in newly assigned partitions. What was revoked before is forgotten first: it may be assigned again."""
        self._forget(self._assignment.take_revoked())
        new, self._assignment.new = self._assignment.new, set()
        if not new:
            return
        self.unreadable.revoked(new)
        try:
            saved = await self._saved_offsets()
            for partition in new:
                # A partition that was revoked meanwhile must not prevent the seeks in the others.
                with suppress(IllegalStateError):
                    await self._seek(partition, saved.get(partition.partition, 0))
        except (KafkaError, TimeoutError) as error:
            self._assignment.new |= new
            raise TemporaryError("kafka_unavailable", str(error) or type(error).__name__) from error
        except BaseException:
            self._assignment.new |= new
            raise

    async def _seek(self, partition: TopicPartition, saved: int) -> None:
        client = self._running()
        committed = await asyncio.wait_for(client.committed(partition), _CALL_TIMEOUT)
        first = (await asyncio.wait_for(client.beginning_offsets([partition]), _CALL_TIMEOUT))[partition]
        position = saved if committed is None else min(saved, committed)
        if 0 < position < first:
            _log.error(
                "Commands expired in their topic before they were read; they get no answer.",
                action="commands_lost_to_retention",
                topic=partition.topic,
                partition=partition.partition,
                from_offset=position,
                to_offset=first - 1,
            )
        self._seek_to(partition, max(position, first))
        self._committed.pop(partition, None)
        if committed is not None:
            self._committed[partition] = committed

    def _seek_to(self, partition: TopicPartition, offset: int) -> None:
        self._running().seek(partition, offset)
        self._positions[partition] = offset

    async def _next_offsets(self, records: Mapping[TopicPartition, Sequence[RawRecord]]) -> Offsets:
        """The positions behind these records, and now and then those that moved without any."""
        looks = time.monotonic() - self._looked_at >= _POSITIONS_EVERY
        if looks:
            self._looked_at = time.monotonic()
        moved: Offsets = {}
        # A partition that was not sought yet has a position of Kafka's, which may be beyond that of Postgres.
        ours = self._running().assignment() & self._positions.keys() - self._assignment.new - self._assignment.revoked
        for partition in ours if looks else ours & records.keys():
            with suppress(IllegalStateError, TimeoutError):  # it was revoked meanwhile
                async with asyncio.timeout(_POSITION_TIMEOUT):
                    position = await self._running().position(partition)
                self._positions[partition] = position
                if records.get(partition) or position != self._committed.get(partition):
                    moved[partition.topic, partition.partition] = position
        return moved

    async def commit(self, next_offsets: Mapping[tuple[str, int], int]) -> None:
        offsets = {TopicPartition(*partition): offset for partition, offset in next_offsets.items()}
        try:
            await asyncio.wait_for(self._running().commit(offsets), _CALL_TIMEOUT)
            self._committed |= offsets
        except (CommitFailedError, IllegalStateError):
            _log.info(
                "A partition was reassigned before its commit; its new reader finds the commands in the inbox.",
                action="commit_lost",
            )
        except (KafkaError, TimeoutError) as error:
            detail = str(error) or type(error).__name__
            _log.warning("Kafka did not take the offsets; they are in Postgres.", action="commit_failed", detail=detail)
        finally:
            self._assignment.nothing_in_flight.set()

    async def stop(self) -> None:
        self._assignment.nothing_in_flight.set()
        await self._stop_client()

    async def _stop_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            # stop() can hang while the broker is away, and can raise CancelledError of its own making around an outage.
            stopping = asyncio.ensure_future(client.stop())
            with suppress(KafkaError, OSError):
                await asyncio.wait([stopping], timeout=_CALL_TIMEOUT)
            if not stopping.done():
                stopping.cancel()

    def _running(self) -> AIOKafkaConsumer:
        if self._client is None:
            raise TemporaryError("not_started", "the reader is not started")
        return self._client
