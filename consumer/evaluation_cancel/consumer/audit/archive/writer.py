"""The archiver: reads the three topics from Kafka and writes data objects and links.

The conditional put of a link commits its offsets. The only state is the last link of each partition. So after a crash
or an error the archiver always does the same: it drops the records that are not linked and reads from the last links
again. Two archivers meet at the same link key; one wins, the other continues after the winner's link.
`object_store.probe` must have accepted the store. `segment.py` builds objects and links.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

import structlog

from evaluation_cancel.consumer.audit.archive.chain import Head, accept, find_head
from evaluation_cancel.consumer.audit.archive.keys import link_key
from evaluation_cancel.consumer.audit.archive.link import encode_link
from evaluation_cancel.consumer.audit.archive.object_store import ObjectStore
from evaluation_cancel.consumer.audit.archive.segment import Segment
from evaluation_cancel.consumer.audit.archive.signing import Signer, TrustedKeys
from evaluation_cancel.consumer.audit.kafka.reading import Expired, Log, Partition, Read
from evaluation_cancel.consumer.domain.errors import Refusal, TemporaryError
from evaluation_cancel.consumer.runtime.backoff import Backoff

_SEARCHES_AT_ONCE: Final = 16
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchiveLimits:
    """Limits of a segment in bytes and seconds, and of reads in seconds. `AuditSettings` explains them."""

    object_bytes: int = 8 * 1024 * 1024
    object_age: float = 300.0
    poll: float = 0.5
    patience: float = 30.0


class Archiver:
    """Archives all partitions of a log, which it opens again after each temporary error."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        open_log: Callable[[], AbstractAsyncContextManager[Log]],
        signer: Signer,
        trusted: TrustedKeys,
        limits: ArchiveLimits,
    ) -> None:
        """`trusted` must contain the signer's key, because the archiver verifies the link that it continues."""
        self._store = store
        self._open_log = open_log
        self._signer = signer
        self._trusted = trusted
        self._limits = limits
        self._stopping = False
        self.links = 0
        """Links written by this archiver."""
        self.records = 0
        """Records in those links."""

    def stop(self) -> None:
        """End `run` soon. Records that were read are still archived."""
        self._stopping = True

    async def run(self) -> None:
        """Archive until stopped. Raises `Refusal` when the chain in the store cannot be continued."""
        backoff = Backoff()
        while not self._stopping:
            try:
                async with self._open_log() as log:
                    await _Session(self, log, self._limits).run_until(lambda: self._stopping)
            except TemporaryError as error:
                await backoff.sleep(error, "Archiving begins at its last links again.", action="archive_interrupted")

    async def run_once(self) -> None:
        """Archive up to the present ends of the partitions. Raises `TemporaryError` and `Refusal`."""
        async with self._open_log() as log:
            await _Session(self, log, self._limits).catch_up()

    async def heads(self, log: Log, ends: dict[Partition, int]) -> dict[Partition, Head]:
        """Find the head of each partition's chain. `ends` are the partitions' end offsets."""
        gate = asyncio.Semaphore(_SEARCHES_AT_ONCE)

        async def find(partition: Partition) -> Head:
            async with gate:
                return await find_head(self._store, self._trusted, *partition, end=ends[partition])

        heads = await asyncio.gather(*(find(p) for p in log.partitions))
        return dict(zip(log.partitions, heads, strict=True))

    async def write(self, segment: Segment) -> Head:
        """Commit the segment and return the new head, or the head of another archiver that was faster."""
        link, body = segment.seal()
        if link.data is not None:
            # Its key contains its digest: an existing object is the same.
            await self._store.create(link.data, body)
        key, raw = link_key(link.topic, link.partition, link.first), encode_link(link, self._signer)
        if not await self._store.create(key, raw):
            winner = await self._store.get(key)
            if winner is None:
                raise TemporaryError("link_vanished", f"{key} exists but cannot be read")
            if winner != raw:
                return self._follow(winner, key, link.previous)
        self.links += 1
        self.records += link.records
        head = accept(raw, self._trusted, key)[1]
        _log.info("Archived.", action="archived", link=key, records=link.records, to=link.last, digest=head.digest)
        return head

    def _follow(self, winner: bytes, key: str, previous: str | None) -> Head:
        link, head = accept(winner, self._trusted, key)
        if link.previous != previous:
            raise Refusal("broken_chain", f"{key} continues another chain")
        _log.info(
            "Another archiver was faster. Archiving continues after its link.", action="archive_followed", link=key
        )
        return head


class _Session:
    """Reads Kafka from the last links on, until an error."""

    def __init__(self, archiver: Archiver, log: Log, limits: ArchiveLimits) -> None:
        self._archiver = archiver
        self._log = log
        self._limits = limits
        self._segments: dict[Partition, Segment] = {}

    async def run_until(self, stopping: Callable[[], bool]) -> None:
        await self._begin()
        while not stopping():
            await self._step()
        await self._commit_if(lambda segment: not segment.is_empty)

    async def catch_up(self) -> None:
        ends = {p: end for p, (_, end) in (await self._begin()).items()}
        moved_at, left = time.monotonic(), self._left(ends)
        while left:
            await self._step()
            if not self._left(ends):
                # Commit before the loop ends. If another archiver was faster, offsets may have to be read again.
                await self._commit_if(lambda segment: not segment.is_empty)
            before, left = left, self._left(ends)
            if left != before:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > self._limits.patience:
                raise TemporaryError("kafka_stalled", f"no progress for {self._limits.patience:g} s")

    def _left(self, ends: Mapping[Partition, int]) -> int:
        """How many offsets must be read, or read again."""
        return sum(max(0, end - self._segments[p].position) for p, end in ends.items())

    async def _begin(self) -> dict[Partition, tuple[int, int]]:
        ends = {p: end for p, (_, end) in (await self._log.bounds()).items()}
        heads = await self._archiver.heads(self._log, ends)
        # Read the bounds again: another archiver may have archived records that arrived in the meantime.
        bounds = await self._log.bounds()
        for partition, head in heads.items():
            first, end = bounds[partition]
            if head.next_offset > end:
                raise Refusal(
                    "partition_behind_archive",
                    f"{partition[0]}[{partition[1]}] ends at {end}, its archive at {head.next_offset}: the topic was"
                    " created again or has lost records. Use a new topic name or archive prefix to keep the history.",
                )
            self._segments[partition] = Segment(*partition, head, begins_at=first)
            if head.next_offset < first:
                _warn_expired(partition, head.next_offset, first)
        self._log.read_from({p: s.position for p, s in self._segments.items()})
        return bounds

    async def _step(self) -> None:
        try:
            reads = await self._log.read(self._limits.poll)
        except Expired as error:
            raise TemporaryError("records_expired", f"records expired before they were read: {error.detail}") from error
        for read in reads:
            await self._add(read)
        oldest = time.monotonic() - self._limits.object_age
        await self._commit_if(
            lambda segment: (
                not segment.is_empty and (segment.opened_at < oldest or segment.size >= self._limits.object_bytes)
            )
        )

    async def _add(self, read: Read) -> None:
        segment = self._segments[read.partition]
        if read.began_at != segment.position:
            # The offsets between the two were not read. They must not count as absent.
            raise TemporaryError("position_jumped", f"{read.partition}: {segment.position} became {read.began_at}")
        for record in read.records:
            if segment.size >= self._limits.object_bytes or not segment.belongs(record):
                segment.advance_to(record.offset)
                if not await self._commit(segment):
                    return
                segment = self._segments[read.partition]
            segment.add(record)
        segment.advance_to(read.position)

    async def _commit_if(self, is_due: Callable[[Segment], bool]) -> None:
        for segment in [s for s in self._segments.values() if is_due(s)]:
            await self._commit(segment)

    async def _commit(self, segment: Segment) -> bool:
        """Write the segment and start the next. Returns False if another archiver was faster and the reader moved."""
        head = await self._archiver.write(segment)
        partition = (segment.topic, segment.partition)
        self._segments[partition] = Segment(*partition, head, begins_at=head.next_offset)
        if head.next_offset != segment.position:
            self._log.seek(partition, head.next_offset)
            return False
        return True


def _warn_expired(partition: Partition, wanted: int, first: int) -> None:
    _log.error(
        "Records expired in Kafka before they were archived. The chain will list their offsets.",
        action="archive_expired",
        topic=partition[0],
        partition=partition[1],
        first=wanted,
        last=first - 1,
    )
