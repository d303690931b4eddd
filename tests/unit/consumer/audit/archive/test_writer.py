"""The archiver against a store and a log in memory. What may happen at any moment is in `test_moments.py`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evaluation_cancel.consumer.audit.archive.chain import find_head
from evaluation_cancel.consumer.audit.archive.link import decode_link, encode_link
from evaluation_cancel.consumer.audit.archive.object_store import probe
from evaluation_cancel.consumer.audit.archive.writer import ArchiveLimits, Archiver
from evaluation_cancel.consumer.audit.verify.chain_check import ChainWalk, Verified
from evaluation_cancel.consumer.audit.verify.findings import Findings
from evaluation_cancel.consumer.domain.errors import Refusal, TemporaryError
from tests.support.fakes.audit import CarelessStore, MemoryLog, MemoryStore, log_of, new_signer, raw_record, trusting

SIGNER = new_signer()
TRUSTED = trusting(SIGNER)
PARTITION = ("commands", 0)
SMALL = ArchiveLimits(object_bytes=300, object_age=3600, poll=0)
DAY = 86_400_000


def archiver(store: MemoryStore, log: MemoryLog, limits: ArchiveLimits = SMALL) -> Archiver:
    return Archiver(store=store, open_log=log.open, signer=SIGNER, trusted=TRUSTED, limits=limits)


async def walk(store: MemoryStore) -> tuple[list[Verified], Findings]:
    findings = Findings()
    chain = ChainWalk(store, TRUSTED, findings, on_object=lambda _: None)
    return [link async for link in chain.walk(*PARTITION)], findings


async def archived(store: MemoryStore) -> list[int]:
    """The offsets in the archive, after it was found to be whole."""
    links, findings = await walk(store)
    assert findings.defects == []
    return [record.offset for link in links for record in link.records]


async def test_every_record_is_archived_once_and_in_order() -> None:
    store, log = MemoryStore(), log_of(range(50))
    await archiver(store, log).run_once()
    assert await archived(store) == list(range(50))
    links, _ = await walk(store)
    assert len(links) > 5
    assert [record for link in links for record in link.records] == list(log.contents[PARTITION].values())


async def test_it_goes_on_where_the_last_link_ends() -> None:
    store, log = MemoryStore(), log_of(range(10))
    await archiver(store, log).run_once()
    log.contents[PARTITION].update({n: raw_record(n) for n in range(10, 23)})
    again = archiver(store, log)
    await again.run_once()
    assert again.records == 13
    assert await archived(store) == list(range(23))


async def test_offsets_without_a_record_are_named_as_absent() -> None:
    gone = {0, 1, 5, 6, 7, 20}
    store, log = MemoryStore(), log_of(set(range(30)) - gone - {29}, absent=[*gone, 29])
    await archiver(store, log).run_once()
    links, findings = await walk(store)
    assert findings.defects == []
    absent = {o for v in links for first, last in v.link.absent for o in range(first, last + 1)}
    assert absent == gone | {29}
    assert links[-1].link.last == 29


async def test_offsets_without_records_at_the_end_wait_for_the_next_record() -> None:
    store, log = MemoryStore(), log_of([0], absent=[1])
    await archiver(store, log).run_once()
    log.contents[PARTITION].update({2: None, 3: None})
    before = dict(store.objects)
    await archiver(store, log).run_once()
    assert store.objects == before
    log.contents[PARTITION][4] = raw_record(4)
    await archiver(store, log).run_once()
    links, _ = await walk(store)
    assert [(v.link.first, v.link.last, v.link.absent) for v in links] == [(0, 1, ((1, 1),)), (2, 4, ((2, 3),))]


async def test_records_that_expired_before_they_were_archived_are_named_and_found() -> None:
    store, log = MemoryStore(), log_of(range(4))
    await archiver(store, log).run_once()
    log.contents[PARTITION] = {n: raw_record(n) for n in range(9, 12)}
    log.first[PARTITION] = 9
    await archiver(store, log).run_once()
    links, findings = await walk(store)
    assert links[-1].link.expired == ((4, 8),)
    assert [(d.code, d.detail) for d in findings.defects] == [
        ("expired_unarchived", "offsets 4-8 expired before they were archived")
    ]


async def test_what_had_expired_when_the_archive_began_is_no_defect() -> None:
    store, log = MemoryStore(), log_of(range(9, 12))
    log.first[PARTITION] = 9
    await archiver(store, log).run_once()
    assert await archived(store) == [9, 10, 11]
    assert min(k for k in store.objects if k.startswith("chain")).endswith("/" + "0" * 20)


async def test_an_object_holds_one_day() -> None:
    store = MemoryStore()
    times = [1, 2, DAY, DAY + 1, 3, DAY + 2, -1]
    records = {n: raw_record(n, timestamp_ms=t) for n, t in enumerate(times)}
    await archiver(store, MemoryLog({PARTITION: records})).run_once()
    assert await archived(store) == list(range(7))
    days = [key.split("/")[2] for key in sorted(store.objects) if key.startswith("data")]
    assert days == ["1970-01-01", "1970-01-01", "1970-01-02", "1970-01-02", "undated"]


async def test_a_running_archiver_survives_errors_by_itself() -> None:
    store, log = MemoryStore(), log_of(range(12))
    error = TemporaryError("unreachable", "no answer")
    store.fail_at = {2: ("before", error), 4: ("after", error), 7: ("after", error)}
    log.failures = [error, error]
    running = archiver(store, log)

    original = log.read

    async def read(timeout: float, **rest: object) -> object:  # noqa: ASYNC109
        found = await original(timeout)
        if not found:
            running.stop()
        return found

    log.read = read  # type: ignore[assignment,method-assign]
    await running.run()
    assert await archived(store) == list(range(12))


async def test_ones_own_lost_answer_is_recognised_by_its_bytes() -> None:
    class LosesFirstAnswer(MemoryStore):
        """Retries inside, as S3 clients do: the second try finds what the first has made."""

        async def create(self, key: str, body: bytes) -> bool:
            await super().create(key, body)
            return await super().create(key, body)

    store = LosesFirstAnswer()
    running = archiver(store, log_of(range(12)))
    await running.run_once()
    assert running.records == 12
    assert await archived(store) == list(range(12))


async def test_a_chain_that_cannot_be_trusted_is_not_continued() -> None:
    store, log = MemoryStore(), log_of(range(4))
    await archiver(store, log).run_once()
    last = max(key for key in store.objects if key.startswith("chain"))
    store.objects[last] = store.objects[last].replace(b"records: ", b"records: 1")
    with pytest.raises(Refusal, match="broken_link"):
        await archiver(store, log).run_once()


class Usurped(MemoryStore):
    """Just before a link is put, one lies there that is signed well and continues another chain."""

    async def create(self, key: str, body: bytes) -> bool:
        if key.startswith("chain/") and key not in self.objects:
            link = decode_link(body, TRUSTED)
            self.objects[key] = encode_link(replace(link, previous="ab" * 32), SIGNER)
        return await super().create(key, body)


async def test_a_winner_that_continues_another_chain_is_not_followed() -> None:
    with pytest.raises(Refusal, match="broken_chain"):
        await archiver(Usurped(), log_of(range(4))).run_once()


async def test_a_partition_that_was_made_anew_is_not_mixed_with_its_old_history() -> None:
    store = MemoryStore()
    await archiver(store, log_of(range(8))).run_once()
    with pytest.raises(Refusal, match="partition_behind_archive"):
        await archiver(store, log_of(range(3))).run_once()


async def test_a_partition_that_grows_while_the_chain_is_looked_up_was_not_made_anew() -> None:
    store, log = MemoryStore(), log_of(range(3))
    running = archiver(store, log)
    original = running.heads

    async def heads(*arguments: Any) -> Any:
        log.contents[PARTITION].update({n: raw_record(n) for n in range(3, 9)})
        await archiver(store, log).run_once()
        return await original(*arguments)

    running.heads = heads  # type: ignore[method-assign]
    await running.run_once()
    assert await archived(store) == list(range(9))


async def test_a_jump_of_the_reader_is_not_taken_for_absent_records() -> None:
    store, log = MemoryStore(), log_of(range(9))
    original = log.read_from

    def read_from(positions: dict[tuple[str, int], int]) -> None:
        original({p: at + 2 for p, at in positions.items()})

    log.read_from = read_from  # type: ignore[assignment,method-assign]
    with pytest.raises(TemporaryError, match="position_jumped"):
        await archiver(store, log).run_once()
    assert await archived(store) == []


@pytest.mark.parametrize("end", [0, 3, 5000, 60_000, 10_000_000])
async def test_the_last_link_is_found_wherever_the_partition_ends(end: int) -> None:
    store, log = MemoryStore(), log_of([0, 3000, 5001, 50_000], absent=[])
    await archiver(store, log, ArchiveLimits(object_bytes=1)).run_once()
    head = await find_head(store, TRUSTED, *PARTITION, end)
    assert head.next_offset == 50_001


async def test_the_probe_tells_a_store_that_keeps_from_one_that_overwrites() -> None:
    store = MemoryStore()
    await probe(store)
    await probe(store)
    with pytest.raises(Refusal, match="conditional_put_ignored"):
        await probe(CarelessStore())


async def test_once_does_not_wait_for_ever_for_a_broker_that_has_gone_silent() -> None:
    store, log = MemoryStore(), log_of(range(12))
    original = log.read

    async def read(timeout: float, **rest: Any) -> Any:  # noqa: ASYNC109
        return [] if store.objects else await original(timeout, **rest)

    log.read = read  # type: ignore[method-assign]
    with pytest.raises(TemporaryError, match="kafka_stalled"):
        await archiver(store, log, ArchiveLimits(object_bytes=300, poll=0, patience=0.05)).run_once()
    assert await archived(store) == list(range(len(await archived(store))))
    log.read = original  # type: ignore[method-assign]
    await archiver(store, log).run_once()
    assert await archived(store) == list(range(12))
