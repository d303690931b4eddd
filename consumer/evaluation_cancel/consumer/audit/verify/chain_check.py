"""Verifies the chain of one partition, link by link, and gives out the records whose objects are sound.

Finds what was altered, dropped, swapped, inserted or signed by somebody else. What was cut off at the end shows only
against heads that were noted before (`audit/archive/checkpoints.py`) and against Postgres (`rows.py`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from evaluation_cancel.consumer.audit.archive.chain import EMPTY, Head
from evaluation_cancel.consumer.audit.archive.data_object import BrokenObject, read_records
from evaluation_cancel.consumer.audit.archive.keys import chain_prefix, link_key, read_link_key
from evaluation_cancel.consumer.audit.archive.link import BrokenLink, Link, decode_link, digest
from evaluation_cancel.consumer.audit.archive.object_store import ObjectStore
from evaluation_cancel.consumer.audit.archive.offsets import write_ranges
from evaluation_cancel.consumer.audit.archive.signing import TrustedKeys
from evaluation_cancel.consumer.audit.verify.findings import Findings
from evaluation_cancel.schemas.wire.records import RawRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """What a link held: its records in order. Empty when its object is not sound."""

    link: Link
    records: list[RawRecord]
    sound: bool


class ChainWalk:
    """One walk over one partition's chain; `head` is its end afterwards."""

    def __init__(
        self,
        store: ObjectStore,
        trusted: TrustedKeys,
        findings: Findings,
        *,
        linked: Callable[[str], None],
        expected: Head | None = None,
    ) -> None:
        """`linked` is told every data object's key. `expected`: a head that the chain must have passed."""
        self._store = store
        self._trusted = trusted
        self._findings = findings
        self._linked = linked
        self._expected = expected
        self.head = EMPTY
        self._unsure = False
        """Behind a broken link nobody knows what the next one has to name."""

    async def walk(self, topic: str, partition: int) -> AsyncIterator[Verified]:
        async for key in self._store.keys(chain_prefix(topic, partition)):
            link = await self._link(key)
            if link is None:
                continue
            yield await self._contents(key, link)
            self._meet_expected(key)
        if self._expected is not None:
            self._findings.defect(
                chain_prefix(topic, partition),
                "truncated_chain",
                f"the noted head, with offset {self._expected.next_offset} next, is not in the chain,"
                f" which ends before offset {self.head.next_offset}",
            )

    async def _link(self, key: str) -> Link | None:
        """The next link, if it is one of this chain. A broken one is told, and passed over."""
        raw = await self._store.get(key) or b""
        self._findings.counts["links"] += 1
        try:
            link = decode_link(raw, self._trusted)
        except BrokenLink as error:
            self._findings.defect(key, "broken_link", str(error))
            self._unsure = read_link_key(key) is not None
            return None
        where = link_key(link.topic, link.partition, link.first)
        if where != key:
            self._findings.defect(key, "misplaced_link", f"is the link that belongs at {where}")
            self._unsure = True
            return None
        if not self._fits(key, link):
            return None
        self.head = Head(next_offset=link.last + 1, digest=digest(raw))
        self._unsure = False
        return link

    def _fits(self, key: str, link: Link) -> bool:
        expected = self.head
        if link.first < expected.next_offset:
            self._findings.defect(
                key, "overlapping_link", f"begins before offset {expected.next_offset}, which is next"
            )
            return False
        if link.first > expected.next_offset:
            gap = f"offsets {expected.next_offset}-{link.first - 1}"
            self._findings.defect(key, "missing_link", f"{gap} before it are in no sound link")
        elif link.previous != expected.digest and not self._unsure:
            self._findings.defect(key, "broken_chain", "names another link than the one that lies before it")
        return True

    async def _contents(self, key: str, link: Link) -> Verified:
        if link.expired:
            tell = self._findings.notice if link.first == 0 else self._findings.defect
            tell(key, "expired_unarchived", f"offsets {write_ranges(link.expired)} expired before they were archived")
        if link.data is None:
            return Verified(link=link, records=[], sound=True)
        self._linked(link.data)
        self._findings.counts["objects"] += 1
        body = await self._store.get(link.data)
        if body is None:
            self._findings.defect(link.data, "missing_object", f"is named by {key} and not there")
            return Verified(link=link, records=[], sound=False)
        try:
            records = list(read_records(body, link))
        except BrokenObject as error:
            self._findings.defect(link.data, error.code, str(error))
            return Verified(link=link, records=[], sound=False)
        self._findings.counts["records"] += len(records)
        return Verified(link=link, records=records, sound=True)

    def _meet_expected(self, key: str) -> None:
        if self._expected is not None and self.head.next_offset >= self._expected.next_offset:
            if self.head != self._expected:
                detail = f"is not the noted head before offset {self._expected.next_offset}"
                self._findings.defect(key, "rewritten_chain", detail)
            self._expected = None
