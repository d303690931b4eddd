"""`python -m tests.bench.endpoint`: POST to 200 through the real endpoint and a plain one, on one stack, in one run.

Requests come at their time whether or not earlier ones are answered. First 50 a second; then more and more, until one
in a hundred takes a second longer than its pods take to end, or one fails. Evaluations and Jobs are made beforehand.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
import asyncpg
from rich.console import Console
from rich.table import Table

from deploy.local.kubernetes.admin import administrator
from deploy.local.play.orchestrator import Evaluation, job
from deploy.local.processes.ports import LOOPBACK, free_port
from deploy.local.stand.stack import stack
from deploy.local.stand.system import CLUSTER, System, system
from tests.bench.environment import default_kafka
from tests.bench.kubernetes.running_jobs import run_jobs
from tests.bench.plain_endpoint import TABLE

TEAM = "bench"
USERS = 100
"""So many callers take turns: one alone would meet its limit."""
STEADY = 50.0
STEPS = (25.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0)
MARGIN = 1.0
"""Seconds beyond the pods' own that one request in a hundred may take."""
_OURS = "evaluation_cancel.evaluations"
_RECORD = """
INSERT INTO {} (id, team_id, status, cluster, job_namespace, job_name, job_uid)
SELECT i, $2, 'running', $5, $6, n, u FROM unnest($1::uuid[], $3::text[], $4::text[]) AS r (i, n, u)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contestant:
    name: str
    url: str
    table: str = _OURS


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    contestant: str
    ends_after: int
    rate: float
    seconds: Sequence[float]
    """Of each request that was answered with 200, ascending."""
    failed: int

    def percentile(self, share: float) -> float:
        return self.seconds[min(len(self.seconds) - 1, int(len(self.seconds) * share))] if self.seconds else 0.0

    @property
    def good(self) -> bool:
        return not self.failed and self.percentile(0.99) <= self.ends_after + MARGIN


async def measure(running: System, contestant: Contestant, *, rate: float, seconds: float, ends_after: int) -> Measured:
    """Requests at this rate for so long, each for a Job of its own."""
    evaluations = await _prepared(running, contestant.table, int(rate * seconds), ends_after)
    tokens = [running.tokens.token(f"user-{number}", [TEAM]) for number in range(USERS)]
    taken: list[float] = []
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:

        async def one(number: int, evaluation: UUID) -> None:
            headers = {"Authorization": f"Bearer {tokens[number % USERS]}", "Prefer": "wait=55"}
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            url = f"{contestant.url}/v1/evaluations/{evaluation}/cancel"
            try:
                async with session.post(url, headers=headers) as answer:
                    body = await answer.json() if answer.status == 200 else {}
            except (aiohttp.ClientError, TimeoutError):
                return
            if body.get("status") == "cancelled":
                taken.append(time.perf_counter() - due)

        begun = time.perf_counter() + 0.5
        await asyncio.gather(*(one(number, each) for number, each in enumerate(evaluations)))
    failed = len(evaluations) - len(taken)
    return Measured(contestant=contestant.name, ends_after=ends_after, rate=rate, seconds=sorted(taken), failed=failed)


async def _prepared(running: System, table: str, count: int, ends_after: int) -> list[UUID]:
    """So many running evaluations, each with its Job, whose pod runs."""
    made = [Evaluation(id=uuid4(), team=TEAM) for _ in range(count)]
    bodies = [job(each, pods=1, ends_after=ends_after, node=running.stack.node) for each in made]
    async with administrator(running.stack.cluster) as client:
        uids = await run_jobs(client, running.namespace, bodies)
    connection = await asyncpg.connect(running.dsn)
    try:
        ids, names = [each.id for each in made], [each.job_name for each in made]
        await connection.execute(_RECORD.format(table), ids, TEAM, names, uids, CLUSTER, running.namespace)
    finally:
        await connection.close()
    return [each.id for each in made]


@asynccontextmanager
async def plain_endpoint(running: System) -> AsyncIterator[Contestant]:
    connection = await asyncpg.connect(running.dsn)
    # Ours has a trigger that would refuse what it does.
    await connection.execute(f"CREATE TABLE {TABLE} (LIKE {_OURS} INCLUDING ALL)")
    await connection.close()
    port = free_port()
    environment = {"DSN": running.dsn, "KUBECONFIG": str(running.stack.cluster.kubeconfig)}
    child = running.stack.work.start(
        "plain-endpoint",
        [sys.executable, "-m", "tests.bench.plain_endpoint", str(port)],
        environment={**os.environ, **environment},
        cwd=Path.cwd(),
    )
    url = f"http://{LOOPBACK}:{port}"

    async def answers() -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    try:
        await child.ready(answers)
        yield Contestant(name="plain", url=url, table=TABLE)
    finally:
        child.kill()


async def run(kafka: str, kubernetes: str, *, seconds: float, console: Console) -> list[Measured]:
    """All of it; what was measured, in order."""
    results: list[Measured] = []
    async with (
        stack(kafka=kafka, kubernetes=kubernetes) as parts,
        system(parts) as running,
        plain_endpoint(running) as plain,
    ):
        ours = Contestant(name="ours", url=running.endpoints[0].url)
        await measure(running, ours, rate=5, seconds=2, ends_after=0)  # the first is slow for everybody
        for ends_after in (0, 5):
            for contestant in (ours, plain):
                async for one in _steps(running, contestant, seconds=seconds, ends_after=ends_after):
                    _print_step(console, one)
                    results.append(one)
    return results


async def _steps(
    running: System, contestant: Contestant, *, seconds: float, ends_after: int
) -> AsyncIterator[Measured]:
    """The steady rate, then up from the lowest until it is no longer good."""
    yield await measure(running, contestant, rate=STEADY, seconds=seconds, ends_after=ends_after)
    for step in STEPS:
        if step != STEADY:
            one = await measure(running, contestant, rate=step, seconds=seconds, ends_after=ends_after)
            yield one
            if not one.good:
                return


def _print_step(console: Console, one: Measured) -> None:
    p50, p99 = one.percentile(0.5), one.percentile(0.99)
    console.print(
        f"{one.contestant:<6} pods {one.ends_after} s  {one.rate:>5,.0f}/s  p50 {p50:6.3f} s  p99 {p99:6.3f} s"
        f"  {one.failed} failed"
    )


def print_results(console: Console, results: Sequence[Measured]) -> None:
    table = Table("endpoint", "pods take", f"p50 at {STEADY:.0f}/s", "p99", "failed", "highest good rate")
    for name in ("ours", "plain"):
        for ends_after in (0, 5):
            mine = [each for each in results if (each.contestant, each.ends_after) == (name, ends_after)]
            steady = next(each for each in mine if each.rate == STEADY)
            highest = max((each.rate for each in mine if each.good), default=0.0)
            table.add_row(
                name,
                f"{ends_after} s",
                f"{steady.percentile(0.5) * 1000:,.0f} ms",
                f"{steady.percentile(0.99) * 1000:,.0f} ms",
                str(steady.failed),
                f"{highest:,.0f}/s" if highest else f"below {STEPS[0]:,.0f}/s",
            )
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.endpoint", description=__doc__)
    parser.add_argument("--kafka", choices=["real", "memory"], default=default_kafka())
    parser.add_argument(
        "--kubernetes", choices=["real", "simulated"], default="real" if shutil.which("go") else "simulated"
    )
    parser.add_argument("--seconds", type=float, default=6.0, help="of each step")
    options = parser.parse_args()
    console = Console()
    results = asyncio.run(run(options.kafka, options.kubernetes, seconds=options.seconds, console=console))
    print_results(console, results)


if __name__ == "__main__":
    main()
