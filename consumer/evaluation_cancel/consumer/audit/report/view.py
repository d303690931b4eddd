"""Tables and sentences of a report, printed on the terminal and used by the HTML page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evaluation_cancel.consumer.audit.history.wording import plain
from evaluation_cancel.consumer.audit.report.plots import SHARES
from evaluation_cancel.consumer.audit.report.report import Report, percentile
from evaluation_cancel.schemas.plain_text import visible

OPEN: Final = "open at the end"
"""The label of `Report.outcomes["open"]`."""
_MOST: Final = 25
"""Rows of a table by team or actor; the others are summed up in one row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """One table."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def span(report: Report) -> str:
    """The span of time of the report, its source and its first event."""
    first = "" if report.first_at is None else f"; the first event is of {report.first_at:%Y-%m-%d %H:%M:%SZ}"
    since = "the beginning" if report.since is None else f"{report.since:%Y-%m-%d %H:%M:%SZ}"
    return f"{since} to {report.before:%Y-%m-%d %H:%M:%SZ}, from {report.source}{first}"


def sheets(report: Report) -> list[Sheet]:
    """The tables that have rows."""
    found = [
        _counted("Decisions", "decision", report.decisions),
        _counted("Outcomes", "outcome", Counter({OPEN if n == "open" else n: c for n, c in report.outcomes.items()})),
        _durations(report),
        _crossed("By team", "team", report.teams, ("accepted", "cancelled", "failed")),
        _crossed("By actor", "actor", report.actors, _acceptance_first({decision for _, decision in report.actors})),
        _counted("Failures", "code", report.failures),
        _counted("Cleanups of artifacts", "state", report.cleanups),
        _counted("Artifacts left over", "code", report.kept_codes),
    ]
    return [sheet for sheet in found if sheet.rows]


def show(report: Report, console: Console) -> None:
    """Print the report on a terminal."""
    console.print(Text(f"Cancellations, {span(report)}", style="bold"))
    for sheet in sheets(report):
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for number, column in enumerate(sheet.columns):
            table.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
        for row in sheet.rows:
            table.add_row(*(Text(visible(cell)) for cell in row))
        console.print(Text(f"\n{sheet.title}", style="italic"))
        console.print(table)
    for remark in remarks(report):
        console.print(Text(visible(remark)))


def remarks(report: Report) -> list[str]:
    """Sentences about limits of the report."""
    found = []
    if not report.decisions and not report.outcomes.total():
        found.append("There were no events in this time.")
    if report.by_hand:
        found.append(f"Closed by an operator: {report.by_hand:,}.")
    if report.presumed:
        named = ", ".join(f"{doubt} {count:,}" for doubt, count in sorted(report.presumed.items()))
        found.append(f"Cancelled with a presumed stop, by doubt: {named}.")
    if report.undecodable:
        found.append(f"Undecodable records, which are not counted: {report.undecodable:,}.")
    if report.decisions["joined"]:
        found.append(
            "Joined commands are counted with the outcome that they share, at its time and without their actor."
        )
    return found


def seconds(value: float | None, digits: int = 3) -> str:
    """A duration with its unit; `digits` after the point from one second on."""
    if value is None:
        return "-"
    return f"{value:,.{3 if value < 1 else digits}f} s" if value < 100 else f"{value:,.0f} s"  # noqa: PLR2004


def _counted(title: str, column: str, counts: Counter[str]) -> Sheet:
    rows = [(plain(name), f"{count:,}") for name, count in counts.most_common() if count]
    return Sheet(title=title, columns=(column, "count"), rows=rows)


def _durations(report: Report) -> Sheet:
    rows = []
    for name, values in (("from acceptance", report.from_acceptance), ("from the request", report.from_request)):
        ordered = sorted(values)
        if ordered:
            cells = [seconds(percentile(ordered, share)) for share, _ in SHARES]
            rows.append((name, f"{len(ordered):,}", *cells, seconds(ordered[-1])))
    columns = ("time to cancelled", "count", *(label for _, label in SHARES), "longest")
    return Sheet(title="Time to cancelled", columns=columns, rows=rows)


def _crossed(title: str, column: str, counts: Counter[tuple[str, str]], heads: Sequence[str]) -> Sheet:
    totals: Counter[str] = Counter()
    for (name, _), count in counts.items():
        totals[name] += count
    names = [name for name, _ in totals.most_common()]
    rows = [(plain(n, 60), *(f"{counts[n, head]:,}" for head in heads)) for n in names[:_MOST]]
    if len(names) > _MOST:
        rest = (f"{sum(counts[n, head] for n in names[_MOST:]):,}" for head in heads)
        rows.append((f"{len(names) - _MOST:,} more", *rest))
    return Sheet(title=title, columns=(column, *heads), rows=rows)


def _acceptance_first(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (name != "accepted", name))
