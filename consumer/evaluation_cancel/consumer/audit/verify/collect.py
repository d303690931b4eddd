"""The first half of `verify`: walks every chain, and sorts what it holds by evaluation for the judges.

What can be judged at once is: records that no decoder understands need a dead letter, and dead letters a record.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from evaluation_cancel.consumer.audit.archive.chain import Head
from evaluation_cancel.consumer.audit.archive.keys import chain_prefix, data_prefix, read_data_key, read_link_key
from evaluation_cancel.consumer.audit.archive.object_store import ObjectStore
from evaluation_cancel.consumer.audit.archive.record_lines import encode_line
from evaluation_cancel.consumer.audit.archive.signing import TrustedKeys
from evaluation_cancel.consumer.audit.history.strict import (
    Position,
    archived_command,
    archived_event,
    place,
    position_of,
    time_of,
)
from evaluation_cancel.consumer.audit.kafka.reading import Partition
from evaluation_cancel.consumer.audit.verify.chain_check import ChainWalk, Verified
from evaluation_cancel.consumer.audit.verify.context import DeadLetterSeen, Reach
from evaluation_cancel.consumer.audit.verify.disk_buckets import Spill
from evaluation_cancel.consumer.audit.verify.findings import Findings
from evaluation_cancel.schemas.topics import Topics
from evaluation_cancel.schemas.wire.records import RawRecord, UndecodableRecord

_CHAINS_AT_ONCE: Final = 8


class Collector:
    """Made for one verification. Afterwards: `heads`, `reach`, `dead`, and the spill is full."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        trusted: TrustedKeys,
        topics: Topics,
        findings: Findings,
        spill: Spill,
        now: datetime,
        lag: timedelta,
        accept_bare: bool,
        expected: Mapping[Partition, Head],
    ) -> None:
        self._store = store
        self._trusted = trusted
        self._topics = topics
        self._findings = findings
        self._spill = spill
        self._now = now
        self._lag = lag
        self._accept_bare = accept_bare
        self._expected = expected
        self._linked: set[str] = set()
        self._unmatched: set[Position] = set()
        self.heads: dict[Partition, Head] = {}
        self.reach = Reach()
        self.dead: dict[Position, DeadLetterSeen] = {}

    async def collect(self) -> None:
        """Dead letters first: whether a command has one is asked of each."""
        names = self._topics
        for topic in (names.dead_letters, names.commands, names.events):
            gate = asyncio.Semaphore(_CHAINS_AT_ONCE)
            partitions = {p async for p in _partitions(self._store, topic)}
            partitions |= {p for t, p in self._expected if t == topic}
            await asyncio.gather(*(self._walk(topic, p, gate) for p in sorted(partitions)))
            await self._look_for_unlinked(topic)
        for position in sorted(self._unmatched):
            if self.reach.covers(position):
                detail = f"is of {place(position)}, which the archive does not hold"
                self._findings.defect(self.dead[position].where, "stray_dead_letter", detail)

    async def _walk(self, topic: str, partition: int, gate: asyncio.Semaphore) -> None:
        async with gate:
            walk = ChainWalk(
                self._store,
                self._trusted,
                self._findings,
                linked=self._linked.add,
                expected=self._expected.get((topic, partition)),
            )
            async for verified in walk.walk(topic, partition):
                self._take(verified)
            self.heads[topic, partition] = walk.head
            self.reach.next_offsets[topic, partition] = walk.head.next_offset

    def _take(self, verified: Verified) -> None:
        link = verified.link
        partition = (link.topic, link.partition)
        self.reach.expired[partition] = (*self.reach.expired.get(partition, ()), *link.expired)
        if not verified.sound:
            self.reach.unsound.append((*partition, link.first, link.last))
        take = {
            self._topics.dead_letters: self._dead_letter,
            self._topics.commands: self._command,
            self._topics.events: self._event,
        }[link.topic]
        for record in verified.records:
            take(record)

    def _dead_letter(self, record: RawRecord) -> None:
        headers = {name: (text or b"").decode("utf-8", "replace") for name, text in record.headers}
        where = place(position_of(record))
        try:
            position = (headers["dlq_topic"], int(headers["dlq_partition"]), int(headers["dlq_offset"]))
        except (KeyError, ValueError):
            self._findings.defect(where, "foreign_record", "is no dead letter of this system")
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
            self._not_understood(record, position, error)
        else:
            self._spill.add(evaluation, encode_line(record))

    def _not_understood(self, record: RawRecord, position: Position, error: UndecodableRecord) -> None:
        self._findings.counts["commands"] += 1
        dead = self.dead.get(position)
        if dead is None:
            at = time_of(record)
            tell = self._findings.notice if self._now - at < self._lag else self._findings.defect
            detail = f"cannot be understood ({error.code}), and has no dead letter, since {at:%Y-%m-%d %H:%M:%SZ}"
            tell(place(position), "undecided", detail)
        elif dead.sha256 != hashlib.sha256(record.value or b"").digest():
            self._findings.defect(dead.where, "dead_letter_differs", f"does not hold the bytes of {place(position)}")

    def _event(self, record: RawRecord) -> None:
        try:
            evaluation = archived_event(record).event.evaluation_id
        except UndecodableRecord as error:
            detail = f"is no event of this system: {error.field} {error.problem}"
            self._findings.defect(place(position_of(record)), "foreign_record", detail)
        else:
            self._spill.add(evaluation, encode_line(record))

    async def _look_for_unlinked(self, topic: str) -> None:
        async for key in self._store.keys(data_prefix(topic)):
            if key not in self._linked:
                what = "no link names it: no part of the archive"
                if read_data_key(key) is None:
                    what = "is not one of the archive's own"
                self._findings.notice(key, "unlinked_object", what)


async def _partitions(store: ObjectStore, topic: str) -> AsyncIterator[int]:
    """Those of which there is any link; jumps from one to the next."""
    below = chain_prefix(topic, 0)[: -len("00000/")]
    behind, found = below, True
    while found:
        found = False
        async for key in store.keys(below, behind):
            name = read_link_key(key)
            found = True
            behind = key if name is None else chain_prefix(topic, name[1]) + "~"
            if name is not None:
                yield name[1]
            break
