"""Publishes the outbox: one leader, at most one message of a key at a time, marked only when acknowledged.

A crash between acknowledgement and mark publishes a message again with the same bytes, id and sequence; readers ignore
duplicates. The SQL is in `sql/outbox.py`, the producer in `kafka/event_producer.py`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.domain.events import DEAD_LETTER
from evaluation_cancel.consumer.domain.messages import unpack_headers
from evaluation_cancel.consumer.domain.rows import OutboxMessage
from evaluation_cancel.consumer.outbox.ports import EventProducer, Record, Refused, SendResult, Sent, Unresolved
from evaluation_cancel.consumer.runtime.log_throttle import LogThrottle
from evaluation_cancel.consumer.runtime.loop import Loop
from evaluation_cancel.consumer.sql import outbox
from evaluation_cancel.consumer.sql.database import Database, Transaction

_LEASE_NAME = "outbox"
_PAGES = 5
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class RelayLimits:
    """How much and how often."""

    batch: int = 2000
    """Messages in a round. A larger batch is cheaper, but waits longer for its slowest message."""
    poll: float = 0.1
    """Seconds between the leader's rounds without a nudge: the longest wait of a message from another process."""
    standby: float = 0.5
    """Seconds between tries of the other processes to become the leader."""
    lease: timedelta = timedelta(seconds=15)
    """How long others wait for a leader that has crashed."""
    sending: timedelta = timedelta(seconds=8)
    """The longest that a send may take; shorter than the lease."""
    retry_parked: timedelta = timedelta(minutes=5)
    """Until a refused message is tried again."""


class Relay(Loop):
    """The loop. Only the holder of the lease publishes; the others try to take the lease now and then."""

    def __init__(
        self, *, database: Database, producer: EventProducer, holder: str, limits: RelayLimits | None = None
    ) -> None:
        super().__init__()
        self._database = database
        self._producer = producer
        self._holder = holder
        self._limits = limits or RelayLimits()
        self._throttle = LogThrottle()
        self._epoch: int | None = None
        self._held_until = 0.0
        self._unparked_at = 0.0
        self.published = 0
        """Number of messages this process has published."""

    async def run(self) -> None:
        """Rounds until stopped, then gives up leadership. Raises `TemporaryError`: run it again after a pause."""
        while self.next_round():
            if not await self._hold() or not await self.round():
                await self.wait(self._limits.standby if self._epoch is None else self._limits.poll)
        await self._release()

    async def _hold(self) -> bool:
        """Takes the lease, or renews it if it might expire during the next send."""
        now = time.monotonic()
        lease = self._limits.lease.total_seconds()
        if self._epoch is None or now > self._held_until - max(lease / 2, self._limits.sending.total_seconds()):
            async with self._database.connection() as tx:
                self._epoch = await outbox.hold_lease(tx, _LEASE_NAME, self._holder, self._limits.lease)
            self._held_until = now + lease
        self.progressed()
        return self._epoch is not None

    async def _release(self) -> None:
        if self._epoch is not None:
            async with self._database.connection() as tx:
                await outbox.release_lease(tx, _LEASE_NAME, self._holder)
            self._epoch = None

    async def round(self) -> bool:
        """Publishes the oldest message of each key, up to the batch size. True if there may be more."""
        epoch = self._epoch
        rows = await self._choose()
        if not rows:
            return False
        if not await self._hold() or self._epoch != epoch:
            return False  # another process may have led meanwhile and sent these
        results = await self._producer.send([_record(row) for row in rows])
        await self._mark(rows, results)
        return True

    async def _choose(self) -> list[OutboxMessage]:
        """The oldest row of each key. Pages skip the keys that have a chosen row already."""
        chosen: dict[bytes | int, OutboxMessage] = {}
        after = 0
        async with self._database.transaction() as tx:
            await self._unpark(tx)
            without = await outbox.parked_keys(tx)
            for _ in range(_PAGES):
                page = await outbox.oldest(tx, list(without), after, self._limits.batch)
                for row in page:
                    if chosen.setdefault(row.waits_with or row.id, row) is not row and row.waits_with is not None:
                        without.add(row.waits_with)
                if len(page) < self._limits.batch or len(chosen) * 2 > self._limits.batch:
                    break
                after = page[-1].id
        return list(chosen.values())

    async def _unpark(self, tx: Transaction) -> None:
        if time.monotonic() - self._unparked_at > self._limits.retry_parked.total_seconds():
            await outbox.unpark(tx, self._limits.retry_parked)
            self._unparked_at = time.monotonic()

    async def _mark(self, rows: Sequence[OutboxMessage], results: Sequence[SendResult]) -> None:
        sent = [row.id for row, result in zip(rows, results, strict=True) if isinstance(result, Sent)]
        refused = [(row, r) for row, r in zip(rows, results, strict=True) if isinstance(r, Refused)]
        unresolved = next((r for r in results if isinstance(r, Unresolved)), None)
        try:
            await self._write_down(sent, refused)
        finally:
            if unresolved is not None:  # even if marking failed: this producer must not send it again
                await self._producer.renew()
        if unresolved is not None:
            raise TemporaryError("kafka_unavailable", unresolved.detail, outcome_unknown=True)

    async def _write_down(self, sent: Sequence[int], refused: Sequence[tuple[OutboxMessage, Refused]]) -> None:
        epoch = self._epoch or 0
        async with self._database.transaction() as tx:
            if sent:
                self.published += await outbox.published(tx, sent, epoch)
            for row, result in refused:
                await outbox.park(tx, row.id, epoch, result.code, result.detail)
        for row, result in refused:
            self._throttle.log(  # a missing right refuses thousands at once
                _log,
                result.code,
                "The broker refuses a message; it is set aside and its key waits.",
                level=logging.ERROR,
                action="message_parked",
                event_id=str(row.event_id),
                type=row.type,
                code=result.code,
                detail=result.detail,
            )


def _record(row: OutboxMessage) -> Record:
    headers = unpack_headers(row.headers)
    if row.type != DEAD_LETTER:
        headers.append(("ce_sequence", b"%d" % row.sequence))
    return Record(row.topic, row.key, row.value, headers)
