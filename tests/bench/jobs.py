"""`python -m tests.bench.jobs`: real Jobs ended a second by the consumer, beside the API server's own rate, in one run.

Each Job has one running pod, which ends at once when it is deleted. First the two take turns with nothing else there;
then again, beside cancellations whose pods will not end. Exits with 1 when a result was wrong: an outcome that is
missing, doubled or invented, or one of a Job that is still there.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from rich.console import Console
from rich.table import Table

from tests.bench import table
from tests.bench.environment import default_kafka
from tests.bench.kubernetes import raw_jobs
from tests.bench.kubernetes.job_runs import Bench, Prepared, hanging, ours, raw, running_bench
from tests.bench.pipeline import reader
from tests.bench.pipeline.check import CANCELLED, faults_of_events
from tests.bench.pipeline.reader import Reading
from tests.bench.pipeline.runs import Result
from tests.bench.usage import Meter

RAW = "raw"
OURS = "ours"
Contestant = Callable[[Bench, int], Awaitable[Prepared]]

_WARM_UP = 64
_SETTLES_IN = 2.0
"""Seconds in which the controllers and the consumer have done what the run before has left them to do."""
_WRONG_ROWS = """
SELECT e.id FROM evaluation_cancel.evaluations e
WHERE e.id = ANY ($1) AND NOT (e.status = 'cancelled' AND 1 = (
    SELECT count(*) FROM evaluation_cancel.cancellations c WHERE c.evaluation_id = e.id AND c.phase = 'cancelled'))
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """By contestant, in the order of the runs."""

    results: dict[str, list[Result]] = field(default_factory=dict)
    requests: dict[str, raw_jobs.Requests] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


async def run(options: argparse.Namespace, console: Console) -> Measured:
    measured = Measured()
    async with running_bench(options.kafka, options.kubernetes) as bench:
        for contestant in (raw, ours):  # the first is slow for everybody
            await (await contestant(bench, _WARM_UP)).end()
        await _turns(bench, measured, console, options, "")
        if options.hanging:
            async with hanging(bench, options.hanging, measured.faults):
                await _turns(bench, measured, console, options, " (hanging)")
        measured.faults.extend(await _faults(bench))
    return measured


async def _turns(bench: Bench, measured: Measured, console: Console, options: argparse.Namespace, beside: str) -> None:
    contestants: list[tuple[str, Contestant]] = [(RAW + beside, raw), (OURS + beside, ours)]
    for number in range(options.rounds):
        # Each begins every other time.
        for name, contestant in contestants[:: -1 if number % 2 else 1]:
            result = await _measure(bench, measured, name, await contestant(bench, options.count))
            console.print(f"{name}: {result.count:,} in {result.seconds:.2f} s, {result.rate:,.1f}/s")


async def _measure(bench: Bench, measured: Measured, name: str, prepared: Prepared) -> Result:
    await asyncio.sleep(_SETTLES_IN)
    before, meter = await raw_jobs.requests(bench.jobs), Meter(bench.pids())
    seconds = await prepared.end()
    usage, after = meter.read(), await raw_jobs.requests(bench.jobs)
    faults = await prepared.faults()
    result = Result(count=len(prepared.uids), seconds=seconds, usage=usage, faults=faults)
    measured.results.setdefault(name, []).append(result)
    measured.requests.setdefault(name, Counter()).update(after - before)
    measured.faults.extend(faults)
    return result


async def _faults(bench: Bench) -> list[str]:
    """What is wrong with the events and the rows of all commands that were sent."""
    command_ids = [each for load in bench.sent for each in load.command_ids]
    evaluations: list[UUID] = [each for load in bench.sent for each in load.evaluations]
    wrong = await bench.postgres.fetch(_WRONG_ROWS, evaluations)
    reading = Reading(
        bootstrap_servers=bench.running.stack.kafka.bootstrap_servers,
        topic=bench.running.topics.events,
        isolation_level=bench.running.kafka.kafka_isolation_level,
        outcomes=len(command_ids),
        outcome_type=CANCELLED,
        patience=30.0,
        ready=str(bench.running.stack.work.directory / "reader.ready"),
        result="",
    )
    notes = await asyncio.to_thread(reader.read, reading)
    return faults_of_events(command_ids, notes) + [f"{len(wrong)} evaluations are not cancelled once"] * bool(wrong)


def print_requests(console: Console, measured: Measured) -> None:
    """Whoever sent them: the controllers' and the kubelet's are the same for all contestants."""
    rows = Counter[str]()
    each: dict[str, Mapping[str, float]] = {}
    for name, counted in measured.requests.items():
        jobs = sum(result.count for result in measured.results[name])
        each[name] = {what: number / jobs for what, number in counted.items()}
        rows.update(counted)
    if not rows:
        return
    shown = Table("requests for an ended Job", *each)
    for what in sorted(rows):
        shown.add_row(what, *(f"{numbers.get(what, 0.0):.2f}" for numbers in each.values()))
    shown.add_section()
    shown.add_row("all", *(f"{sum(numbers.values()):.2f}" for numbers in each.values()))
    console.print(shown)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.jobs", description=__doc__)
    kubernetes = "real" if shutil.which("go") else "simulated"
    parser.add_argument("--kafka", choices=["real", "memory"], default=default_kafka())
    parser.add_argument("--kubernetes", choices=["real", "simulated"], default=kubernetes)
    parser.add_argument("--count", type=int, default=500, help="Jobs in a run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; the median counts")
    parser.add_argument("--hanging", type=int, default=1000, help="Jobs that will not end, of the second half")
    return parser.parse_args()


def main() -> int:
    options, console = arguments(), Console()
    measured = asyncio.run(run(options, console))
    table.print_rates(console, measured.results, tuple(measured.results)[:3])
    table.print_usage(console, measured.results)
    print_requests(console, measured)
    for fault in measured.faults[:20]:
        console.print(f"[red]wrong:[/red] {fault}")
    if not measured.faults:
        console.print("Every evaluation was cancelled once, and what was said to have ended was gone.")
    return 1 if measured.faults else 0


if __name__ == "__main__":
    sys.exit(main())
