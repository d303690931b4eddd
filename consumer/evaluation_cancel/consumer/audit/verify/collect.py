"""The first half of `verify`: walks all chains and sorts their records by evaluation, for the checks that follow.

Two checks are done here: an undecodable record must have a dead letter, and a dead letter must have its record.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

from evaluation_cancel.consumer.audit.archive.chain import Head
from evaluation_cancel.consumer.audit.archive.keys import chain_prefix, data_prefix, read_data_key, read_link_key
from evaluation_cancel.consumer.audit.archive.object_store import ObjectStore
from evaluation_cancel.consumer.audit.archive.record_lines import encode_line
from evaluation_cancel.consumer.audit.archive.signing import TrustedKeys
from evaluation_cancel.consumer.audit.history.strict import (
    archived_command,
    archived_event,
    place,
    position_of,
    time_of,
)
from evaluation_cancel.consumer.audit.kafka.reading import Partition
from evaluation_cancel.consumer.audit.verify.chain_check import ChainWalk, Verified
from evaluation_cancel.consumer.audit.verify.context import DeadLetterSeen, Reach, Verification
from evaluation_cancel.consumer.audit.verify.disk_buckets import DiskBuckets
from evaluation_cancel.consumer.audit.verify.findings import Findings
from evaluation_cancel.consumer.domain.commands import Position
from evaluation_cancel.schemas.wire.dead_letters import dead_letter
from evaluation_cancel.schemas.wire.records import RawRecord, UndecodableRecord

_CHAINS_AT_ONCE: Final = 8


class Collector:
    """Collects once: fills `heads`, `reach`, `dead` and the disk buckets."""

    def __init__(
        self,
        store: ObjectStore,
        trusted: TrustedKeys,
        verification: Verification,
        findings: Findings,
        buckets: DiskBuckets,
        *,
        now: datetime,
    ) -> None:
        self._store = store
        self._trusted = trusted
        self._topics = verification.topics
        self._checkpoints = verification.checkpoints
        self._accept_bare = verification.accept_bare
        self._findings = findings
        self._buckets = buckets
        self._now = now
        self._lag = verification.lag
        self._linked: set[str] = set()
        self._unmatched: set[Position] = set()
        self.heads: dict[Partition, Head] = {}
        self.reach = Reach()
        self.dead: dict[Position, DeadLetterSeen] = {}
        """Dead letters by the position of the original record."""

    async def collect(self) -> None:
        """Walk all chains. Dead letters come first, because each command is compared with them."""
        names = self._topics
        for topic in (names.dead_letters, names.commands, names.events):
            gate = asyncio.Semaphore(_CHAINS_AT_ONCE)
            partitions = {p async for p in _partitions(self._store, topic)}
            partitions |= {p for t, p in self._checkpoints if t == topic}
            await asyncio.gather(*(self._walk(topic, p, gate) for p in sorted(partitions)))
            await self._report_unlinked(topic)
        for position in sorted(self._unmatched):
            if self.reach.covers(position):
                detail = f"is of {place(position)}, which is not in the archive"
                self._findings.defect(self.dead[position].where, "stray_dead_letter", detail)

    async def _walk(self, topic: str, partition: int, gate: asyncio.Semaphore) -> None:
        async with gate:
            walk = ChainWalk(
                self._store,
                self._trusted,
                self._findings,
                on_object=self._linked.add,
                checkpoint=self._checkpoints.get((topic, partition)),
            )
            async for verified in walk.walk(topic, partition):
                self._sort(verified)
            self.heads[topic, partition] = walk.head
            self.reach.next_offsets[topic, partition] = walk.head.next_offset

    def _sort(self, verified: Verified) -> None:
        link = verified.link
        partition = (link.topic, link.partition)
        self.reach.expired[partition] = (*self.reach.expired.get(partition, ()), *link.expired)
        if not verified.sound:
            self.reach.unsound.append((*partition, link.first, link.last))
        handle = {
            self._topics.dead_letters: self._dead_letter,
            self._topics.commands: self._command,
            self._topics.events: self._event,
        }[link.topic]
        for record in verified.records:
            handle(record)

    def _dead_letter(self, record: RawRecord) -> None:
        headers = {name: (text or b"").decode("utf-8", "replace") for name, text in record.headers}
        where = place(position_of(record))
        try:
            position = Position(headers["dlq_topic"], int(headers["dlq_partition"]), int(headers["dlq_offset"]))
        except (KeyError, ValueError):
            self._findings.defect(where, "foreign_record", "is not a dead letter of this system")
            return
        digest = hashlib.sha256(record.value or b"").digest()
        self.dead[position] = DeadLetterSeen(where=where, code=headers.get("dlq_code", ""), sha256=digest)
        self._unmatched.add(position)

    def _command(self, record: RawRecord) -> None:
        position = position_of(record)
        self._unmatched.discard(position)
        try:
            evaluation = archived_command(record, accept_bare=self._accept_bare).command.evaluation_id
        except UndecodableRecord as error:
            self._check_undecodable(record, position, error)
        else:
            self._buckets.add(evaluation, encode_line(record))

    def _check_undecodable(self, record: RawRecord, position: Position, error: UndecodableRecord) -> None:
        self._findings.counts["commands"] += 1
        dead = self.dead.get(position)
        if dead is None:
            at = time_of(record)
            detail = f"cannot be decoded ({error.code}) and has no dead letter, since {at:%Y-%m-%d %H:%M:%SZ}"
            self._findings.add(place(position), "undecided", detail, is_defect=self._now - at >= self._lag)
        elif dead.sha256 != hashlib.sha256(dead_letter(record, error).value or b"").digest():
            self._findings.defect(dead.where, "dead_letter_differs", f"does not hold the bytes of {place(position)}")

    def _event(self, record: RawRecord) -> None:
        try:
            evaluation = archived_event(record).event.evaluation_id
        except UndecodableRecord as error:
            detail = f"is not an event of this system: {error.field} {error.problem}"
            self._findings.defect(place(position_of(record)), "foreign_record", detail)
        else:
            self._buckets.add(evaluation, encode_line(record))

    async def _report_unlinked(self, topic: str) -> None:
        async for key in self._store.keys(data_prefix(topic)):
            if key not in self._linked:
                is_ours = read_data_key(key) is not None
                detail = "no link names it: it is not part of the archive" if is_ours else "is not a key of the archive"
                self._findings.notice(key, "unlinked_object", detail)


async def _partitions(store: ObjectStore, topic: str) -> AsyncIterator[int]:
    """The partitions with a link. Lists one key of each."""
    prefix = chain_prefix(topic, 0)[: -len("00000/")]
    after, found = prefix, True
    while found:
        found = False
        async for key in store.keys(prefix, after):
            name = read_link_key(key)
            found = True
            after = key if name is None else chain_prefix(topic, name[1]) + "~"
            if name is not None:
                yield name[1]
            break
