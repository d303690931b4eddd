"""Reads the commands topic in a consumer group: start offsets from Postgres, explicit commits, stops with a deadline.

The members of the group share the partitions (aiokafka has no cooperative rebalancing). A partition starts at the lower
of Postgres' and Kafka's offset, so a database restored from a backup gets again what it lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaConnectionError, KafkaError

from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.runtime.nudge import wait_at_most
from evaluation_cancel.schemas.wire.codec import RawRecord
from evaluation_cancel.schemas.wire.headers_decoder import install

_log = structlog.get_logger(__name__)

_NEVER_LEAVE_MS: Final = 24 * 60 * 60 * 1000
"""Keep the partitions while Postgres is away, for however long: heartbeats show that this member is alive."""
_CALL_TIMEOUT: Final = 5.0
"""Seconds for a commit or an offset request, which have no deadline in aiokafka."""


class KafkaCommandReader:
    """One member of the group. Each `start` creates a new client."""

    def __init__(
        self,
        *,
        topic: str,
        group_id: str,
        client_settings: Mapping[str, Any],
        isolation_level: str,
        batch: int,
        poll_ms: int,
        saved_offsets: Callable[[], Awaitable[dict[int, int]]],
    ) -> None:
        self._topic = topic
        self._group_id = group_id
        self._client_settings = client_settings
        self._isolation_level = isolation_level
        self._batch = batch
        self._poll_ms = poll_ms
        self._saved_offsets = saved_offsets
        self._client: AIOKafkaConsumer | None = None
        self._assignment = _Assignment()

    async def start(self) -> None:
        """Joins the group. Raises `TemporaryError` when no broker answers."""
        install()
        self._assignment = _Assignment()  # an earlier client's assignment does not apply to this one
        self._client = self._new_client()
        try:
            await self._client.start()
        except KafkaConnectionError as error:
            await self._stop_client()
            raise TemporaryError("kafka_unavailable", str(error)) from error
        self._client.subscribe([self._topic], listener=self._assignment)

    def _new_client(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            group_id=self._group_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level=self._isolation_level,
            max_poll_interval_ms=_NEVER_LEAVE_MS,
            session_timeout_ms=10_000,
            heartbeat_interval_ms=1_000,
            rebalance_timeout_ms=30_000,
            retry_backoff_ms=500,
            fetch_max_bytes=16 * 1024 * 1024,
            max_partition_fetch_bytes=2 * 1024 * 1024,
            **self._client_settings,
        )

    async def read(self) -> tuple[Sequence[RawRecord], Mapping[tuple[str, int], int]]:
        client = self._running()
        self._assignment.nothing_in_flight.set()
        fetched = await client.getmany(timeout_ms=self._poll_ms, max_records=self._batch)
        try:
            new = await self._go_to_positions()
        except TemporaryError:
            # The fetched records are dropped, so their partitions must be read again too.
            self._assignment.new |= set(fetched)
            raise
        records: list[RawRecord] = []
        next_offsets: dict[tuple[str, int], int] = {}
        for partition, messages in fetched.items():
            if partition in new or not messages:
                continue  # read before the seek to the right offset; the records come again
            records += [RawRecord.of(m) for m in messages]
            next_offsets[partition.topic, partition.partition] = messages[-1].offset + 1
        if records:
            self._assignment.nothing_in_flight.clear()
        return records, next_offsets

    async def _go_to_positions(self) -> set[TopicPartition]:
        """Seeks in newly assigned partitions and returns them."""
        new, self._assignment.new = self._assignment.new, set()
        if not new:
            return new
        try:
            saved = await self._saved_offsets()
            for partition in new:
                # A partition that was revoked meanwhile must not prevent the seeks in the others.
                with suppress(IllegalStateError):
                    await self._seek(partition, saved.get(partition.partition, 0))
        except BaseException:
            self._assignment.new |= new
            raise
        return new

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
        client.seek(partition, max(position, first))

    async def commit(self, next_offsets: Mapping[tuple[str, int], int]) -> None:
        offsets = {TopicPartition(*partition): offset for partition, offset in next_offsets.items()}
        try:
            await asyncio.wait_for(self._running().commit(offsets), _CALL_TIMEOUT)
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


class _Assignment(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Keeps the new partitions; lets a batch in flight be committed before its partitions are revoked."""

    def __init__(self) -> None:
        self.new: set[TopicPartition] = set()
        self.nothing_in_flight = asyncio.Event()
        """Set while no batch is in flight."""
        self.nothing_in_flight.set()

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        self.new -= set(revoked)
        await wait_at_most(self.nothing_in_flight, _CALL_TIMEOUT)

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        self.new |= set(assigned)
