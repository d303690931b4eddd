"""A range is read to its end whatever gaps it has, and never for ever."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation_cancel.consumer.audit.kafka.reading import Read, read_range
from evaluation_cancel.consumer.domain.errors import TemporaryError
from tests.support.fakes.audit import MemoryLog, raw_record

ONE, OTHER = ("commands", 0), ("commands", 1)


def never(*told: object) -> None:
    raise AssertionError(told)


async def offsets(
    log: Any, ranges: dict[tuple[str, int], tuple[int, int]], **how: Any
) -> dict[tuple[str, int], list[int]]:
    found: dict[tuple[str, int], list[int]] = {}
    async for read in read_range(log, ranges, **{"patience": 5, "on_expired": never, **how}):
        found.setdefault(read.partition, []).extend(r.offset for r in read.records)
    return found


@given(
    records=st.sets(st.integers(0, 30)),
    absent=st.sets(st.integers(0, 30)),
    first=st.integers(0, 20),
    length=st.integers(0, 20),
    at_once=st.integers(1, 5),
)
@settings(deadline=None)
async def test_exactly_the_records_of_the_range_are_read(
    records: set[int], absent: set[int], first: int, length: int, at_once: int
) -> None:
    contents = dict.fromkeys(absent - records) | {n: raw_record(n) for n in records}
    log = MemoryLog({ONE: contents, OTHER: {}}, at_once=at_once)
    end = min(first + length, log.end(ONE))
    found = await offsets(log, {ONE: (first, end), OTHER: (0, 0)})
    assert found.get(ONE, []) == sorted(n for n in records if first <= n < end)


async def test_a_tail_without_records_ends_the_range_too() -> None:
    log = MemoryLog({ONE: {0: raw_record(0), 1: None, 2: None}})
    assert await offsets(log, {ONE: (0, 3)}) == {ONE: [0]}
    assert await offsets(log, {ONE: (1, 3)}) == {ONE: []}


async def test_what_expires_while_it_is_read_is_told_and_passed_over() -> None:
    log = MemoryLog({ONE: {n: raw_record(n) for n in range(10)}}, at_once=2)
    told: list[tuple[object, ...]] = []
    found: list[int] = []
    async for read in read_range(log, {ONE: (0, 10)}, patience=5, on_expired=lambda *t: told.append(t)):  # type: ignore[arg-type]
        found += [r.offset for r in read.records]
        if found == [0, 1]:
            log.first[ONE] = 6
    assert found == [0, 1, 6, 7, 8, 9]
    assert told == [(ONE, 2, 6)]


async def test_a_range_that_expires_as_a_whole_ends() -> None:
    log = MemoryLog({ONE: {9: raw_record(9)}})
    log.first[ONE] = 9
    told: list[tuple[object, ...]] = []
    assert await offsets(log, {ONE: (2, 5)}, on_expired=lambda *t: told.append(t)) == {}
    assert told == [(ONE, 2, 5)]


async def test_it_gives_up_when_nothing_comes() -> None:
    class Silent(MemoryLog):
        async def read(self, timeout: float, *, only: object = ()) -> list[Read]:  # noqa: ARG002, ASYNC109
            return []

    with pytest.raises(TemporaryError, match="kafka_stalled") as raised:
        await offsets(Silent({ONE: {0: raw_record(0)}}), {ONE: (0, 1)}, patience=0.05)
    assert "commands[0] from 0" in raised.value.detail
