"""Prints what was measured: rates and ratios first, then where the time and the memory went."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from tests.bench.pipeline.runs import Result

_MEGABYTE = 1024 * 1024


def _median_rate(results: Sequence[Result]) -> float:
    return statistics.median(r.rate for r in results)


def print_rates(console: Console, results: Mapping[str, Sequence[Result]], beside: Sequence[str]) -> None:
    """`beside`: those whose rate the others' is told in multiples of."""
    beside = [name for name in beside if name in results]
    table = Table("contestant", "commands", "commands/s", "of rounds", *(f"÷ {name}" for name in beside))
    for name, rounds in results.items():
        rates = [r.rate for r in rounds]
        median = _median_rate(rounds)
        table.add_row(
            name,
            f"{rounds[0].count:,}",
            f"{median:,.0f}",
            f"{min(rates):,.0f}-{max(rates):,.0f}",
            *("" if name == other else f"{median / _median_rate(results[other]):.2f}" for other in beside),
        )
    console.print(table)


def print_usage(console: Console, results: Mapping[str, Sequence[Result]]) -> None:
    table = Table("contestant", "process", "CPU s", "CPU µs a command", "peak MB")
    for name, rounds in results.items():
        for process in rounds[0].usage:
            cpu = statistics.median(r.usage[process].cpu_seconds for r in rounds)
            each = statistics.median(r.usage[process].cpu_seconds / r.count * 1e6 for r in rounds)
            peak = max(r.usage[process].peak_bytes for r in rounds) / _MEGABYTE
            table.add_row(name, process, f"{cpu:.2f}", f"{each:.0f}", f"{peak:.0f}" if peak else "")
        table.add_section()
    console.print(table)


def print_latency(console: Console, result: Result, rate: float) -> None:
    table = Table("event", "p50 ms", "p99 ms", "most ms", title=f"from the command's record, at {rate:,.0f} commands/s")
    for event, seconds in (("accepted", result.accepted_after), ("cancelled", result.cancelled_after)):
        p50, p99 = (_percentile(seconds, p) * 1000 for p in (0.50, 0.99))
        table.add_row(event, f"{p50:.1f}", f"{p99:.1f}", f"{seconds[-1] * 1000:.1f}")
    console.print(table)


def _percentile(ascending: Sequence[float], share: float) -> float:
    return ascending[min(len(ascending) - 1, int(len(ascending) * share))]


def print_memory(console: Console, results: Sequence[Result]) -> None:
    table = Table("backlog", "consumer's peak MB", "commands/s")
    for result in results:
        table.add_row(
            f"{result.count:,}", f"{result.usage['consumer'].peak_bytes / _MEGABYTE:.0f}", f"{result.rate:,.0f}"
        )
    console.print(table)
