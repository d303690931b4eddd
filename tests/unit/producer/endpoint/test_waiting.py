import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from evaluation_cancel.producer.endpoint.answers import is_ended
from evaluation_cancel.producer.endpoint.store import CommandSeen, StoreUnavailable
from evaluation_cancel.producer.endpoint.waiting import Waiting, WaitLimits
from tests.support.producer.rows import seen
from tests.support.waiting import until

LIMITS = WaitLimits(waits=1000, waits_per_caller=1000, shortest_poll=0.01, longest_poll=0.02)
LONG = 600.0
"""Beyond the time that a test has: a wait that lasts so long has failed."""


class FakeStore:
    """Rows as a test puts them, with every question kept."""

    def __init__(self) -> None:
        self.rows: dict[str, CommandSeen] = {}
        self.asked: list[list[str]] = []
        self.away = False
        self.broken = False
        self.hangs = asyncio.Event()
        self.hangs.set()

    async def answers(self, source: str, ids: Sequence[str]) -> dict[str, CommandSeen]:
        assert source == "urn:tests"
        self.asked.append(list(ids))
        await self.hangs.wait()
        if self.away:
            raise StoreUnavailable("away")
        if self.broken:
            raise RuntimeError("nobody thought of this")
        return {name: self.rows[name] for name in ids if name in self.rows}


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def waiting(store: FakeStore, limits: WaitLimits = LIMITS) -> Waiting:
    return Waiting(store, "urn:tests", limits)


async def test_a_thousand_waiters_share_one_query(store: FakeStore) -> None:
    everybody = waiting(store)
    names = [f"c{number}" for number in range(1000)]
    waits = [
        asyncio.create_task(everybody.wait(name, is_ended, caller=number % 7, seconds=LONG))
        for number, name in enumerate(names)
    ]
    await until(lambda: len(store.asked) >= 3)
    assert all(len(ids) == 1000 for ids in store.asked)
    store.rows = {name: seen(id=name, phase="cancelled") for name in names}
    rows = await asyncio.gather(*waits)
    assert [row.id for row in rows if row] == names
    assert everybody.count == 0


async def test_nobody_waits_nothing_is_asked(store: FakeStore) -> None:
    everybody = waiting(store)
    store.rows["c1"] = seen(phase="cancelled")
    assert await everybody.wait("c1", is_ended, caller="ada", seconds=LONG)
    await until(lambda: everybody._reader is None)
    asked = len(store.asked)
    await asyncio.sleep(0.1)
    assert len(store.asked) == asked


async def test_the_time_over_what_is_known_is_given(store: FakeStore) -> None:
    store.rows["c1"] = seen(phase="stopping")
    row = await waiting(store).wait("c1", is_ended, caller="ada", seconds=0.2)
    assert row is not None
    assert row.phase == "stopping"


async def test_two_who_wait_for_one_command_both_learn_of_it(store: FakeStore) -> None:
    everybody = waiting(store)
    both = [asyncio.create_task(everybody.wait("c1", is_ended, caller="ada", seconds=LONG)) for _ in range(2)]
    await until(lambda: len(store.asked) > 1)
    store.rows["c1"] = seen(phase="cancelled")
    assert await asyncio.gather(*both) == [store.rows["c1"]] * 2


async def test_an_outage_ends_no_wait(store: FakeStore) -> None:
    store.away = True
    everybody = waiting(store)
    wait = asyncio.create_task(everybody.wait("c1", is_ended, caller="ada", seconds=LONG))
    await until(lambda: len(store.asked) >= 2)
    store.rows["c1"], store.away = seen(phase="cancelled"), False
    assert await wait == store.rows["c1"]


async def test_an_error_that_nobody_thought_of_ends_no_wait(store: FakeStore) -> None:
    store.broken = True
    everybody = waiting(store)
    wait = asyncio.create_task(everybody.wait("c1", is_ended, caller="ada", seconds=LONG))
    await until(lambda: len(store.asked) >= 2)
    store.rows["c1"], store.broken = seen(phase="cancelled"), False
    assert await wait == store.rows["c1"]


async def test_a_query_that_hangs_holds_nobody_beyond_its_time(store: FakeStore) -> None:
    store.hangs.clear()
    everybody = waiting(store)
    assert await everybody.wait("c1", is_ended, caller="ada", seconds=0.1) is None
    await everybody.close()


async def test_all_together_are_bounded_too(store: FakeStore) -> None:
    everybody = waiting(store, replace(LIMITS, waits=2))
    waits = [asyncio.create_task(everybody.wait("c1", is_ended, caller=n, seconds=LONG)) for n in range(2)]
    await until(lambda: everybody.count == 2)
    assert await everybody.wait("c2", is_ended, caller="carol", seconds=LONG) is None
    store.rows["c1"] = seen(phase="cancelled")
    await asyncio.gather(*waits)


async def test_who_comes_when_too_many_wait_gets_what_is_known_at_once(store: FakeStore) -> None:
    everybody = waiting(store, replace(LIMITS, waits_per_caller=1))
    store.rows["c2"] = seen(phase="accepted")
    first = asyncio.create_task(everybody.wait("c1", is_ended, caller="ada", seconds=LONG))
    await until(lambda: everybody.count == 1)
    assert await everybody.wait("c2", is_ended, caller="ada", seconds=LONG) == store.rows["c2"]
    bob = asyncio.create_task(everybody.wait("c2", is_ended, caller="bob", seconds=LONG))
    await until(lambda: everybody.count == 2)
    for task in (first, bob):
        task.cancel()
    await asyncio.gather(first, bob, return_exceptions=True)
    assert everybody.count == 0


async def test_one_who_gives_up_leaves_the_others_waiting(store: FakeStore) -> None:
    everybody = waiting(store)
    leaves, stays = (asyncio.create_task(everybody.wait("c1", is_ended, caller="ada", seconds=LONG)) for _ in range(2))
    await until(lambda: everybody.count == 2)
    leaves.cancel()
    store.rows["c1"] = seen(phase="cancelled")
    assert await stays == store.rows["c1"]


async def test_a_stop_ends_all_waits_with_what_is_known(store: FakeStore) -> None:
    store.rows["c1"] = seen(phase="stopping")
    everybody = waiting(store)
    wait = asyncio.create_task(everybody.wait("c1", is_ended, caller="ada", seconds=LONG))
    await until(lambda: len(store.asked) > 1)
    everybody.end_by(time.monotonic() + 0.2)
    assert await wait == store.rows["c1"]
    # Who comes later looks once.
    assert await everybody.wait("c1", is_ended, caller="ada", seconds=LONG) == store.rows["c1"]
