"""`python -m tests.bench`: commands a second of the real consumer, beside a plain one and a raw echo, in one run.

Exits with 1 when a run lost, doubled or invented an event: a figure of a wrong result is worth nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from collections.abc import Iterable
from dataclasses import replace

from rich.console import Console

from tests.bench import table
from tests.bench.environment import BenchEnvironment, bench_environment, default_kafka
from tests.bench.pipeline.runs import ECHO, ONE_BY_ONE, OURS, Contestant, Result, run

_MEMORY_CAP = 4000
"""Commands at most on the in-memory broker, which keeps some megabytes a partition."""
_BACKLOGS = (1_000, 100_000)
_PACED_SECONDS = 8.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="commands in a run of ours and of the echo")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; the median counts")
    parser.add_argument("--kafka", choices=["real", "memory"], help="default: real if Java and Maven are there")
    parser.add_argument("--processes", type=int, default=2, help="consumers of ours in the run side by side")
    parser.add_argument("--only", choices=["ours", "side", "echo", "one"], help="that contestant alone")
    parser.add_argument("--rate", type=float, help="commands/s of the run for latencies; default: half the peak")
    parser.add_argument("--memory", action="store_true", help="instead: the consumer's peak memory by backlog")
    return parser.parse_args()


async def main(options: argparse.Namespace) -> int:
    console = Console()
    kafka = options.kafka or default_kafka()
    count = options.count
    if kafka == "memory":
        count = min(count, _MEMORY_CAP)
        console.print(f"Kafka is the in-memory broker (no Java or Maven, or by --kafka): {count:,} commands at most.")
    async with bench_environment(kafka) as environment:
        if options.memory:
            return await _memory(console, environment)
        return await _compare(console, environment, options, count)


async def _compare(console: Console, environment: BenchEnvironment, options: argparse.Namespace, count: int) -> int:
    side = replace(OURS, name=f"{options.processes} of ours", processes=options.processes)
    entries = [
        ("ours", OURS, count),
        ("side", side, count),
        ("echo", ECHO, count),
        ("one", ONE_BY_ONE, max(200, count // 20)),
    ]
    if options.only:
        entries = [entry for entry in entries if entry[0] == options.only]
    results: dict[str, list[Result]] = {contestant.name: [] for _, contestant, _ in entries}
    for number in range(options.rounds):
        # Each begins once in a while, so that no contestant always comes after the same other.
        for _, contestant, commands in entries[number % len(entries) :] + entries[: number % len(entries)]:
            results[contestant.name].append(await _measured(console, environment, contestant, commands))
    table.print_rates(console, results, (ECHO.name, ONE_BY_ONE.name))
    table.print_usage(console, results)
    everything = [result for rounds in results.values() for result in rounds]
    if OURS.name in results and options.rate != 0:
        peak = statistics.median(r.rate for r in results[OURS.name])
        rate = options.rate or peak / 2
        paced = await run(environment, OURS, min(count, int(rate * _PACED_SECONDS)), rate=rate)
        everything.append(paced)
        if not paced.faults:
            table.print_latency(console, paced, rate)
    return _verdict(console, everything)


async def _measured(console: Console, environment: BenchEnvironment, contestant: Contestant, count: int) -> Result:
    result = await run(environment, contestant, count)
    console.print(f"{contestant.name}: {count:,} in {result.seconds:.2f} s, {result.rate:,.0f}/s")
    return result


async def _memory(console: Console, environment: BenchEnvironment) -> int:
    results = [await _measured(console, environment, OURS, count) for count in _BACKLOGS]
    table.print_memory(console, results)
    return _verdict(console, results)


def _verdict(console: Console, results: Iterable[Result]) -> int:
    faults = [fault for result in results for fault in result.faults]
    for fault in faults[:20]:
        console.print(f"[red]wrong:[/red] {fault}")
    if not faults:
        console.print("Every command had exactly the events it should have; nothing doubled, nothing missing.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(arguments())))
