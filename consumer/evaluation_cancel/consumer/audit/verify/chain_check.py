"""Verifies the chain of one partition link by link, and returns the records of sound objects.

Finds links and objects that were altered, removed, swapped, inserted or signed with another key. Links that were
removed at the end are found only with checkpoints (`audit/archive/checkpoints.py`) or Postgres (`rows.py`).
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
    """A link and the records of its object. Without a sound object `records` is empty and `sound` is False."""

    link: Link
    records: list[RawRecord]
    sound: bool


class ChainWalk:
    """Walks the chain of one partition once. `head` is the chain's head afterwards."""

    def __init__(
        self,
        store: ObjectStore,
        trusted: TrustedKeys,
        findings: Findings,
        *,
        on_object: Callable[[str], None],
        checkpoint: Head | None = None,
    ) -> None:
        """`on_object` gets the key of each linked data object. `checkpoint` is a head that the chain must contain."""
        self._store = store
        self._trusted = trusted
        self._findings = findings
        self._on_object = on_object
        self._checkpoint = checkpoint
        self.head = EMPTY
        self._digest_unknown = False
        """After a broken link the digest that the next link must contain is unknown."""

    async def walk(self, topic: str, partition: int) -> AsyncIterator[Verified]:
        """Yield each sound link with its records. Defects of others are added to the findings."""
        async for key in self._store.keys(chain_prefix(topic, partition)):
            link = await self._link(key)
            if link is None:
                continue
            yield await self._contents(key, link)
            self._check_checkpoint(key)
        if self._checkpoint is not None:
            self._findings.defect(
                chain_prefix(topic, partition),
                "truncated_chain",
                f"the noted head before offset {self._checkpoint.next_offset} is not in the chain,"
                f" which ends before offset {self.head.next_offset}",
            )

    async def _link(self, key: str) -> Link | None:
        """Read the next link. A broken or misplaced one is reported and skipped."""
        raw = await self._store.get(key) or b""
        self._findings.counts["links"] += 1
        try:
            link = decode_link(raw, self._trusted)
        except BrokenLink as error:
            self._findings.defect(key, "broken_link", str(error))
            self._digest_unknown = read_link_key(key) is not None
            return None
        where = link_key(link.topic, link.partition, link.first)
        if where != key:
            self._findings.defect(key, "misplaced_link", f"is the link that belongs at {where}")
            self._digest_unknown = True
            return None
        if not self._fits(key, link):
            return None
        self.head = Head(next_offset=link.last + 1, digest=digest(raw))
        self._digest_unknown = False
        return link

    def _fits(self, key: str, link: Link) -> bool:
        next_offset = self.head.next_offset
        if link.first < next_offset:
            self._findings.defect(key, "overlapping_link", f"begins before offset {next_offset}, which is next")
            return False
        if link.first > next_offset:
            gap = f"offsets {next_offset}-{link.first - 1}"
            self._findings.defect(key, "missing_link", f"{gap} before it are in no sound link")
        elif link.previous != self.head.digest and not self._digest_unknown:
            self._findings.defect(key, "broken_chain", "names another link than the one before it")
        return True

    async def _contents(self, key: str, link: Link) -> Verified:
        if link.expired:
            detail = f"offsets {write_ranges(link.expired)} expired before they were archived"
            self._findings.add(key, "expired_unarchived", detail, is_defect=link.first > 0)
        if link.data is None:
            return Verified(link=link, records=[], sound=True)
        self._on_object(link.data)
        self._findings.counts["objects"] += 1
        body = await self._store.get(link.data)
        if body is None:
            self._findings.defect(link.data, "missing_object", f"is named by {key} and is missing")
            return Verified(link=link, records=[], sound=False)
        try:
            records = list(read_records(body, link))
        except BrokenObject as error:
            self._findings.defect(link.data, error.code, str(error))
            return Verified(link=link, records=[], sound=False)
        self._findings.counts["records"] += len(records)
        return Verified(link=link, records=records, sound=True)

    def _check_checkpoint(self, key: str) -> None:
        if self._checkpoint is not None and self.head.next_offset >= self._checkpoint.next_offset:
            if self.head != self._checkpoint:
                detail = f"is not the noted head before offset {self._checkpoint.next_offset}"
                self._findings.defect(key, "rewritten_chain", detail)
            self._checkpoint = None
