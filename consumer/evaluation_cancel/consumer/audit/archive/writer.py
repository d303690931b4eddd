"""Writes the three topics to the archive: records into objects, and each object into the chain by one conditional put.

The put of the link is the commit; nothing before it counts. Progress is the last link of each partition and nothing
else, so that a crash at any moment, or any error, is answered in one way: forget what is in hand and begin at the last
links again. Two archivers meet at the same link key, where one wins; the other follows. Expects a store that was
probed (`object_store.py`). What a segment holds is `segment.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from evaluation_cancel.consumer.audit.archive.chain import Head, accept, find_head
from evaluation_cancel.consumer.audit.archive.keys import link_key
from evaluation_cancel.consumer.audit.archive.link import encode_link
from evaluation_cancel.consumer.audit.archive.object_store import ObjectStore
from evaluation_cancel.consumer.audit.archive.segment import Segment
from evaluation_cancel.consumer.audit.archive.signing import Signer, TrustedKeys
from evaluation_cancel.consumer.audit.kafka.reading import Expired, Partition, Read
from evaluation_cancel.consumer.domain.errors import Refusal, TemporaryError
from evaluation_cancel.consumer.runtime.backoff import Backoff

_SEARCHES_AT_ONCE: Final = 16
_log = structlog.get_logger(__name__)


class PartitionLog(Protocol):
    """What the archiver asks of Kafka; `kafka_log.KafkaLog` is one."""

    @property
    def partitions(self) -> Sequence[Partition]: ...

    async def bounds(self) -> dict[Partition, tuple[int, int]]: ...

    def read_from(self, positions: Mapping[Partition, int]) -> None: ...

    def seek(self, partition: Partition, offset: int) -> None: ...

    async def read(self, timeout: float) -> list[Read]: ...  # noqa: ASYNC109


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchiveLimits:
    """When a segment is written. The settings say why."""

    object_bytes: int = 8 * 1024 * 1024
    object_age: float = 300.0
    poll: float = 0.5
    patience: float = 30.0


class Archiver:
    """Give `run` a way to open the log; it opens it anew after every error that passes."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        open_log: Callable[[], AbstractAsyncContextManager[PartitionLog]],
        signer: Signer,
        trusted: TrustedKeys,
        limits: ArchiveLimits,
    ) -> None:
        """`trusted` must know the signer's own key: whoever writes on checks the last link."""
        self._store = store
        self._open_log = open_log
        self._signer = signer
        self._trusted = trusted
        self._limits = limits
        self._stopping = False
        self.links = 0
        """Links written by this process."""
        self.records = 0

    def stop(self) -> None:
        """What has been read is still written."""
        self._stopping = True

    async def run(self) -> None:
        """Archives until stopped. Raises `Refusal` when the chain in the store cannot be continued."""
        backoff = Backoff()
        while not self._stopping:
            try:
                async with self._open_log() as log:
                    await _Session(self, log).follow(lambda: self._stopping)
            except TemporaryError as error:
                await backoff.sleep(error, "Archiving begins at its last links again.", action="archive_interrupted")

    async def run_once(self) -> None:
        """Archives what is there now, and ends. Raises `TemporaryError` too: run it again."""
        async with self._open_log() as log:
            await _Session(self, log).catch_up()

    async def heads(self, log: PartitionLog, ends: dict[Partition, int]) -> dict[Partition, Head]:
        """The end of each partition's chain."""
        gate = asyncio.Semaphore(_SEARCHES_AT_ONCE)

        async def find(partition: Partition) -> Head:
            async with gate:
                return await find_head(self._store, self._trusted, *partition, end=ends[partition])

        heads = await asyncio.gather(*(find(p) for p in log.partitions))
        return dict(zip(log.partitions, heads, strict=True))

    async def write(self, segment: Segment) -> Head:
        """Commits the segment, or finds that another archiver was here; gives the head to go on from."""
        sealed = segment.seal()
        link = sealed.link
        if link.data is not None:
            # Its name holds its digest: if it exists, it is the same.
            await self._store.create(link.data, sealed.body)
        key, raw = link_key(link.topic, link.partition, link.first), encode_link(link, self._signer)
        if not await self._store.create(key, raw):
            winner = await self._store.get(key)
            if winner is None:
                raise TemporaryError("link_vanished", f"{key} exists and cannot be read")
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
            raise Refusal("broken_chain", f"{key} does not continue the chain that was read")
        _log.info("Another archiver was faster; its link is followed.", action="archive_followed", link=key)
        return head


class _Session:
    """One reading of Kafka from the last links on, until something fails."""

    def __init__(self, archiver: Archiver, log: PartitionLog) -> None:
        self._archiver = archiver
        self._log = log
        self._limits = archiver._limits  # noqa: SLF001  # one thing in two parts
        self._segments: dict[Partition, Segment] = {}

    async def follow(self, stopping: Callable[[], bool]) -> None:
        await self._begin()
        while not stopping():
            await self._step()
        await self._write(lambda segment: not segment.is_empty)

    async def catch_up(self) -> None:
        ends = {p: end for p, (_, end) in (await self._begin()).items()}
        moved_at, left = time.monotonic(), self._left(ends)
        while left:
            await self._step()
            if not self._left(ends):
                # Another archiver's link can send the reader back once more.
                await self._write(lambda segment: not segment.is_empty)
            before, left = left, self._left(ends)
            if left != before:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > self._limits.patience:
                raise TemporaryError("kafka_stalled", f"nothing has come for {self._limits.patience:g} s")

    def _left(self, ends: Mapping[Partition, int]) -> int:
        """Offsets to read still, or to read again."""
        return sum(max(0, end - self._segments[p].position) for p, end in ends.items())

    async def _begin(self) -> dict[Partition, tuple[int, int]]:
        ends = {p: end for p, (_, end) in (await self._log.bounds()).items()}
        heads = await self._archiver.heads(self._log, ends)
        # Asked again, because partitions and their chains grow meanwhile, under another archiver's hands.
        bounds = await self._log.bounds()
        for partition, head in heads.items():
            first, end = bounds[partition]
            if head.next_offset > end:
                raise Refusal(
                    "partition_behind_archive",
                    f"{partition[0]}[{partition[1]}] ends at {end}, its archive at {head.next_offset}: it was made"
                    " anew or has lost records. A new topic name or archive prefix keeps the old history whole.",
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
            raise TemporaryError("records_expired", f"records expired while they were read: {error.detail}") from error
        for read in reads:
            await self._take(read)
        oldest = time.monotonic() - self._limits.object_age
        await self._write(
            lambda segment: (
                not segment.is_empty and (segment.opened_at < oldest or segment.size >= self._limits.object_bytes)
            )
        )

    async def _take(self, read: Read) -> None:
        segment = self._segments[read.partition]
        if read.began_at != segment.position:
            # Then what lies between was not read: it must not be taken for absent.
            raise TemporaryError("position_jumped", f"{read.partition}: {segment.position} became {read.began_at}")
        for record in read.records:
            if segment.size >= self._limits.object_bytes or not segment.belongs(record):
                segment.pass_over(record.offset)
                if not await self._commit(segment):
                    return
                segment = self._segments[read.partition]
            segment.add(record)
        segment.pass_over(read.position)

    async def _write(self, ripe: Callable[[Segment], bool]) -> None:
        for segment in [s for s in self._segments.values() if ripe(s)]:
            await self._commit(segment)

    async def _commit(self, segment: Segment) -> bool:
        """False when the reader had to go elsewhere, because another archiver has written."""
        head = await self._archiver.write(segment)
        partition = (segment.topic, segment.partition)
        # What follows a link has been read, so that it has not expired.
        self._segments[partition] = Segment(*partition, head, begins_at=head.next_offset)
        if head.next_offset != segment.position:
            self._log.seek(partition, head.next_offset)
            return False
        return True


def _warn_expired(partition: Partition, wanted: int, first: int) -> None:
    _log.error(
        "Records expired in Kafka before they were archived; the chain will name them.",
        action="archive_expired",
        topic=partition[0],
        partition=partition[1],
        first=wanted,
        last=first - 1,
    )
