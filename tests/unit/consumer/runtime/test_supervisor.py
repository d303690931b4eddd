from __future__ import annotations

import asyncio
import time

import pytest

from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.runtime.loop import Loop
from evaluation_cancel.consumer.runtime.supervisor import Supervisor
from tests.support.waiting import until


class FakeLoop(Loop):
    """Runs until stopped; raises the given faults first."""

    def __init__(self, *faults: Exception, deaf: bool = False) -> None:
        super().__init__()
        self.faults = list(faults)
        self.deaf = deaf
        self.begun = 0
        self.stopped_at = 0.0

    def stop(self) -> None:
        self.stopped_at = time.monotonic()
        if not self.deaf:
            super().stop()

    async def run(self) -> None:
        self.begun += 1
        if self.faults:
            raise self.faults.pop(0)
        while self.next_round():
            await self.wait(60)


def supervise(*, hangs_after: float = 60.0, **loops: FakeLoop) -> tuple[Supervisor, list[str]]:
    restarted: list[str] = []
    supervisor = Supervisor(list(loops.items()), on_restarted=restarted.append, hangs_after=hangs_after)
    return supervisor, restarted


async def test_a_loop_that_fails_begins_anew_and_stops_no_other() -> None:
    faulty = FakeLoop(TemporaryError("postgres_unavailable", "down"), RuntimeError("a bug"))
    steady = FakeLoop()
    supervisor, restarted = supervise(faulty=faulty, steady=steady)
    supervisor.start()
    await until(lambda: faulty.begun == 3, "the loop was begun three times")
    assert restarted == ["faulty", "faulty"]
    assert steady.begun == 1
    assert await supervisor.stop(5)


async def test_loops_are_stopped_in_the_order_given() -> None:
    first, second = FakeLoop(), FakeLoop()
    supervisor, _ = supervise(first=first, second=second)
    supervisor.start()
    await until(lambda: second.begun == 1, "both run")
    assert await supervisor.stop(5)
    assert first.stopped_at < second.stopped_at


async def test_a_loop_that_does_not_end_is_cut_short_and_it_is_said() -> None:
    deaf = FakeLoop(deaf=True)
    supervisor, _ = supervise(deaf=deaf)
    supervisor.start()
    await until(lambda: deaf.begun == 1, "it runs")
    assert not await supervisor.stop(0.05)


async def test_a_loop_without_progress_is_named() -> None:
    still = FakeLoop()
    still.progressed_at -= 3600
    supervisor, _ = supervise(still=still, steady=FakeLoop())
    assert supervisor.standing_still() == ["still"]


async def test_a_loop_that_an_outage_makes_begin_anew_is_no_reason_for_a_restart() -> None:
    out = FakeLoop(*(TemporaryError("kafka_unavailable", "down") for _ in range(2)))
    out.progressed_at -= 3600
    supervisor, restarted = supervise(out=out)
    supervisor.start()
    await until(lambda: len(restarted) == 2, "it was begun anew")
    assert supervisor.standing_still() == []
    await supervisor.stop(5)


class Unhurried(FakeLoop):
    """Has something in hand that takes a moment to finish."""

    finished = False

    async def run(self) -> None:
        await super().run()
        await asyncio.sleep(0.3)
        self.finished = True


async def test_a_loop_that_an_outage_holds_leaves_those_behind_it_time_to_finish() -> None:
    deaf, behind = FakeLoop(deaf=True), Unhurried()
    supervisor, _ = supervise(deaf=deaf, behind=behind)
    supervisor.start()
    await until(lambda: deaf.begun + behind.begun == 2, "both run")
    assert not await supervisor.stop(3)
    assert behind.finished


async def test_a_pause_after_a_fault_does_not_delay_the_end() -> None:
    faulty = FakeLoop(*(TemporaryError("kafka_unavailable", "down") for _ in range(1000)))
    supervisor, _ = supervise(faulty=faulty)
    supervisor._pause = lambda _faults: 3600.0  # type: ignore[method-assign]
    supervisor.start()
    await until(lambda: faulty.begun == 1, "it has failed once")
    assert await supervisor.stop(60)
    assert faulty.begun == 1


class Hanging(FakeLoop):
    """Hangs in its first runs, in a wait that tells nobody."""

    def __init__(self, *, times: int, ignores_cancellation: bool = False) -> None:
        super().__init__()
        self.times = times
        self.ignores_cancellation = ignores_cancellation
        self.at_once = 0

    async def run(self) -> None:
        self.at_once += 1
        try:
            if self.begun < self.times:
                self.begun += 1
                await self.hang()
            await super().run()
        finally:
            self.at_once -= 1

    async def hang(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not self.ignores_cancellation:
                raise


async def test_a_loop_that_hangs_is_run_again_and_is_then_healthy() -> None:
    hanging = Hanging(times=1)
    supervisor, restarted = supervise(hanging=hanging, hangs_after=0.2)
    supervisor.start()
    await until(lambda: restarted == ["hanging"], "it was run again")
    await until(lambda: hanging.begun == 2, "it runs")
    assert supervisor.standing_still() == []
    assert await supervisor.stop(5)


async def test_a_loop_that_hangs_again_and_again_is_named() -> None:
    hanging = Hanging(times=1000)
    supervisor, restarted = supervise(hanging=hanging, hangs_after=0.2)
    supervisor.start()
    await until(lambda: len(restarted) >= 3, "it was run again and again")
    assert supervisor.standing_still() == ["hanging"]
    assert hanging.at_once <= 1
    await supervisor.stop(0.1)


async def test_a_loop_that_swallows_its_cancellation_is_not_run_beside_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluation_cancel.consumer.runtime.supervisor._ENDS_WITHIN", 0.2)
    hanging = Hanging(times=1, ignores_cancellation=True)
    supervisor, restarted = supervise(hanging=hanging, hangs_after=0.2)
    supervisor.start()
    await until(lambda: hanging.begun == 2, "it goes on")
    assert (hanging.at_once, restarted) == (1, [])
    await supervisor.stop(5)


async def test_a_loop_that_is_cancelled_from_inside_is_run_again() -> None:
    class Cancelled(FakeLoop):
        async def run(self) -> None:
            if self.begun == 0:
                self.begun += 1
                raise asyncio.CancelledError
            await super().run()

    cancelled = Cancelled()
    supervisor, restarted = supervise(cancelled=cancelled)
    supervisor.start()
    await until(lambda: cancelled.begun == 2, "it runs")
    assert restarted == ["cancelled"]
    assert await supervisor.stop(5)


async def test_a_wait_is_progress_however_long_it_is() -> None:
    waiting = FakeLoop()
    supervisor, restarted = supervise(waiting=waiting, hangs_after=0.1)
    supervisor.start()
    await until(lambda: waiting.begun == 1, "it runs")
    looked = time.monotonic() + 0.5
    await until(lambda: time.monotonic() > looked, "it has waited")
    assert (restarted, supervisor.standing_still()) == ([], [])
    assert await supervisor.stop(5)
