"""Gathering items into batches, and writing them until they are written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation_cancel.consumer.domain.errors import Unstorable
from evaluation_cancel.consumer.runtime.batching import BatchCompleter, Batcher
from evaluation_cancel.consumer.runtime.log_throttle import LogThrottle


class Handler:
    """Remembers its batches; waits at the gate if there is one."""

    def __init__(self, gate: asyncio.Event | None = None) -> None:
        self.batches: list[list[int]] = []
        self.running = 0
        self.most = 0
        self._gate = gate

    async def __call__(self, batch: list[int]) -> None:
        self.batches.append(batch)
        self.running += 1
        self.most = max(self.most, self.running)
        if self._gate is not None:
            await self._gate.wait()
        await asyncio.sleep(0)
        self.running -= 1


async def test_items_put_together_go_together() -> None:
    handler = Handler()
    batcher = Batcher(handler, linger=0.0)
    for item in range(5):
        batcher.put(item)
    await batcher.drain()
    assert handler.batches == [[0, 1, 2, 3, 4]]


async def test_what_comes_while_one_is_busy_makes_up_the_next() -> None:
    gate = asyncio.Event()
    handler = Handler(gate)
    batcher = Batcher(handler, linger=0.0)
    batcher.put(0)
    await asyncio.sleep(0.01)
    for item in (1, 2, 3):
        batcher.put(item)
    gate.set()
    await batcher.drain()
    assert handler.batches == [[0], [1, 2, 3]]


async def test_no_batch_is_larger_than_its_bound_nor_are_more_under_way() -> None:
    handler = Handler()
    batcher = Batcher(handler, size=10, in_flight=2)
    for item in range(95):
        batcher.put(item)
    await batcher.drain()
    assert sorted(item for batch in handler.batches for item in batch) == list(range(95))
    assert max(len(batch) for batch in handler.batches) == 10
    assert handler.most == 2


async def test_an_error_of_one_batch_is_not_the_end() -> None:
    seen: list[int] = []

    async def handle(batch: list[int]) -> None:
        seen.extend(batch)
        if 0 in batch:
            raise RuntimeError("a mistake of ours")

    batcher = Batcher(handle, size=1)
    batcher.put(0)
    batcher.put(1)
    await batcher.drain()
    assert sorted(seen) == [0, 1]


async def test_cancelling_drops_what_waits() -> None:
    handler = Handler(asyncio.Event())
    batcher = Batcher(handler, size=1)
    for item in range(3):
        batcher.put(item)
    await asyncio.sleep(0.01)
    batcher.cancel()
    await batcher.drain()
    assert len(handler.batches) == 1


@dataclass(frozen=True)
class Row:
    name: str
    deadline: float


class Writer:
    """Fails the first so many times, after performing every other one of them."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.written: list[str] = []
        self.released: list[str] = []

    async def write(self, batch: Sequence[tuple[Row, int]]) -> None:
        if self.failures % 2 == 0:
            self.written += [row.name for row, _ in batch]
        if self.failures:
            self.failures -= 1
            raise ConnectionError("away")

    def done(self, batch: Sequence[tuple[Row, int]]) -> None:
        self.released += [row.name for row, _ in batch]


async def test_outcomes_are_written_again_until_the_database_has_them() -> None:
    writer = Writer(failures=3)
    finisher: BatchCompleter[Row, int] = BatchCompleter(
        writer.write, writer.done, instead=lambda _row, _error: -1, table="rows"
    )
    finisher.put(Row("a", time.monotonic() + 60), 1)
    await finisher.drain()
    assert writer.failures == 0
    assert writer.written[-1] == "a"
    assert writer.released == ["a"]


async def test_outcomes_whose_lease_ended_long_ago_are_let_go() -> None:
    writer = Writer(failures=1)
    finisher: BatchCompleter[Row, int] = BatchCompleter(
        writer.write, writer.done, instead=lambda _row, _error: -1, table="rows"
    )
    finisher.put(Row("late", time.monotonic() - 3600), 1)
    finisher.put(Row("held", time.monotonic() + 60), 1)
    await finisher.drain()
    assert writer.written == ["held"]
    assert sorted(writer.released) == ["held", "late"]


async def test_one_result_that_can_never_be_stored_holds_up_no_other() -> None:
    stored: dict[str, int] = {}
    released: list[str] = []

    async def write(batch: Sequence[tuple[Row, int]]) -> None:
        if any(result == 13 for _, result in batch):
            raise Unstorable("unstorable", "13 is no result")
        stored.update({row.name: result for row, result in batch})

    def done(batch: Sequence[tuple[Row, int]]) -> None:
        released.extend(row.name for row, _ in batch)

    finisher: BatchCompleter[Row, int] = BatchCompleter(write, done, instead=lambda _row, _error: -1, table="rows")
    for number in range(20):
        finisher.put(Row(str(number), time.monotonic() + 60), number)
    await finisher.drain()
    assert stored == {str(number): number for number in range(20)} | {"13": -1}
    assert sorted(released, key=int) == [str(number) for number in range(20)]


def test_a_thing_that_goes_wrong_is_told_once_a_second_with_what_was_held_back() -> None:
    now = 0.0
    throttle = LogThrottle(clock=lambda: now)
    assert [throttle.allow("x"), throttle.allow("x"), throttle.allow("x"), throttle.allow("y")] == [0, None, None, 0]
    now = 1.5
    assert throttle.allow("x") == 2
