"""The act in which a consumer is killed in mid-work and the other finishes what it held.

It is stopped first (SIGSTOP), so that what it holds can be looked at without a race, and killed (SIGKILL) only if it
holds something; else it goes on and the next moment is tried.
"""

import asyncio
import time
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from deploy.local.demo.cases import CANCELLED, STOPPED, Case, Expected
from deploy.local.demo.desk import ADA, Desk
from deploy.local.errors import NotAsToldError
from deploy.local.stand.system import Consumer

COUNT = 40
ROUNDS = 6
"""Consumers may be quicker than the kill; then there is another round with new evaluations."""
AT_ONCE = 8
MOMENTS = 4

HELD = """
SELECT claimed_by, array_agg(evaluation_id) AS evaluations FROM evaluation_cancel.cancellations
WHERE claimed_by = ANY ($1) AND ended_at IS NULL GROUP BY 1 ORDER BY count(*) DESC LIMIT 1
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Killed:
    """Which consumer was killed, when, and what it held."""

    consumer: Consumer
    at: float
    held: tuple[UUID, ...]


async def kill_in_mid_work(desk: Desk) -> Killed:
    desk.screen.act(
        "11 · A consumer is killed in mid-work",
        f"{COUNT} cancellations at once, shared by two consumers. One gets SIGKILL while it holds some of them; "
        "when its leases end, the other finishes them.",
    )
    connection = await asyncpg.connect(desk.running.dsn)
    try:
        for _ in range(ROUNDS):
            cases = await _burst(desk)
            killed = await _kill(desk, cases, connection)
            if killed is not None:
                await _finished(desk, cases, killed)
                return killed
            await _all_cancelled(desk, cases)
            desk.screen.step("process", "", "both were quicker than the kill; once more")
    finally:
        await connection.close()
    raise NotAsToldError(f"in {ROUNDS} rounds no consumer was caught in mid-work")


async def _burst(desk: Desk) -> list[Case]:
    room = asyncio.Semaphore(AT_ONCE)
    expected = Expected(status="cancelled", decisions=("accepted",), events=STOPPED)

    async def one(number: int) -> Case:
        async with room:
            # Their pods end at several moments, so that there is work for a while.
            return await desk.running_case(f"many {number}", expected, ends_after=number % MOMENTS, told=False)

    cases = list(await asyncio.gather(*(one(number) for number in range(1, COUNT + 1))))
    desk.screen.step("orchestrator", "many", f"{COUNT} Jobs run")
    desk.screen.step("command", "many", f"{COUNT} CancelEvaluation from ada")
    await asyncio.gather(*(desk.cancel(case, ADA) for case in cases))
    return cases


async def _kill(desk: Desk, cases: list[Case], connection: asyncpg.Connection) -> Killed | None:
    """None when all cancellations ended before a consumer held one."""
    mortal = _mortal(desk)
    while _left(desk, cases):
        row = await connection.fetchrow(HELD, mortal)
        if row is not None:
            consumer = desk.running.consumers[row["claimed_by"]]
            consumer.child.pause()
            await asyncio.sleep(0.1)  # a statement it had sent may still be under way in Postgres
            row = await connection.fetchrow(HELD, mortal)
            if row is not None and row["claimed_by"] == consumer.name:
                return _killed(desk, consumer, tuple(row["evaluations"]))
            consumer.child.resume()
        await asyncio.sleep(0.002)
    return None


def _mortal(desk: Desk) -> list[str]:
    """The consumers that may be killed: not the only one that reads commands."""
    consumers = desk.running.consumers.values()
    readers = [each.name for each in consumers if each.reads_commands]
    return [each.name for each in consumers if readers != [each.name]]


def _killed(desk: Desk, consumer: Consumer, held: tuple[UUID, ...]) -> Killed:
    consumer.child.kill()
    text = f"{consumer.name} (process {consumer.child.pid}) is killed; it held {len(held)} of them"
    desk.screen.step("process", "many", text)
    return Killed(consumer=consumer, at=time.monotonic(), held=held)


async def _finished(desk: Desk, cases: list[Case], killed: Killed) -> None:
    desk.screen.step("event", "many", f"{COUNT - len(_left(desk, cases))} EvaluationCancelled have come by then")
    await _all_cancelled(desk, cases)
    survivor = next(each.name for each in desk.running.consumers.values() if each.child.running)
    seconds = time.monotonic() - killed.at
    text = f"all {COUNT} EvaluationCancelled are there {seconds:.1f} s after the kill, the last by {survivor}"
    desk.screen.step("event", "many", text)


async def _all_cancelled(desk: Desk, cases: list[Case]) -> None:
    await desk.listener.until(lambda: not _left(desk, cases), f"EvaluationCancelled of all {COUNT}")


def _left(desk: Desk, cases: list[Case]) -> list[Case]:
    """Those whose end has not been heard of."""
    return [case for case in cases if desk.listener.first(case.evaluation.id, CANCELLED) is None]
