"""Whatever happens to archivers at whichever of their awaits, the archive has neither gap nor overlap."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation_cancel.consumer.audit.archive.writer import ArchiveLimits, Archiver
from evaluation_cancel.consumer.audit.verify.chain_check import ChainWalk
from evaluation_cancel.consumer.audit.verify.findings import Findings
from evaluation_cancel.consumer.domain.errors import Refusal, TemporaryError
from tests.support.fakes.audit import Crash, MemoryStore, log_of, new_signer, trusting
from tests.support.fakes.moments import Moments, WatchedLog, WatchedStore

SIGNER = new_signer()
TRUSTED = trusting(SIGNER)
PARTITION = ("commands", 0)
HELD, ABSENT = range(14), (14, 15)


async def run(store: MemoryStore, moments: Moments, *, size: int = 300, seen: int = 14, at_once: int = 3) -> int:
    """One archiver to its end; gives how many records it linked."""
    contents = log_of(range(seen), absent=ABSENT if seen == len(HELD) else ()).contents
    log = WatchedLog(contents, moments, at_once=at_once)
    one = Archiver(
        store=WatchedStore(store, moments),
        open_log=log.open,
        signer=SIGNER,
        trusted=TRUSTED,
        limits=ArchiveLimits(object_bytes=size, poll=0),
    )
    await one.run_once()
    return one.records


async def assert_whole(store: MemoryStore) -> None:
    findings = Findings()
    walk = ChainWalk(store, TRUSTED, findings, on_object=lambda _: None)
    links = [link async for link in walk.walk(*PARTITION)]
    assert findings.defects == []
    assert [record.offset for link in links for record in link.records] == list(HELD)
    assert walk.head.next_offset == len(HELD) + len(ABSENT)


@pytest.mark.parametrize("death", [Crash(), TemporaryError("unreachable", "no answer")], ids=["crash", "lost answer"])
async def test_after_a_death_at_any_await_nothing_is_missing_or_doubled(death: BaseException) -> None:
    undisturbed = Moments()
    await run(MemoryStore(), undisturbed)
    assert undisturbed.count > 30
    for moment in range(1, undisturbed.count + 1):
        store = MemoryStore()
        with pytest.raises(type(death)):
            await run(store, Moments(dies_at=moment, dies_of=death))
        await run(store, Moments())
        await assert_whole(store)


turns = st.lists(st.integers(0, 6), max_size=80)


@given(
    mine=turns,
    theirs=turns,
    size=st.integers(100, 900),
    seen=st.integers(1, 14),
    at_once=st.integers(1, 7),
    dies_at=st.integers(0, 60),
)
@settings(max_examples=150, deadline=None)
async def test_two_archivers_side_by_side_leave_no_gap_and_no_overlap(
    *, mine: list[int], theirs: list[int], size: int, seen: int, at_once: int, dies_at: int
) -> None:
    """They take turns in every order at every await; the other cuts its objects elsewhere, has seen less or as much of
    the partition, and may die; in the end somebody archives the rest.
    """
    store = MemoryStore()
    other = Moments(turns=theirs, dies_at=dies_at, dies_of=Crash())
    ends = await asyncio.gather(
        run(store, Moments(turns=mine)),
        run(store, other, size=size, seen=seen, at_once=at_once),
        return_exceptions=True,
    )
    assert not [end for end in ends if not isinstance(end, int | Crash) and not _has_seen_less(end)], ends
    await run(store, Moments())
    await assert_whole(store)


def _has_seen_less(end: object) -> bool:
    """Its partition ended before what is archived by now: then it refuses."""
    return isinstance(end, Refusal) and end.code == "partition_behind_archive"
