"""A report as one HTML page that needs nothing else: its plots are SVG within it, its style too; no script, no network.

What is counted is `report.py`; the tables are the terminal's (`report_view.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from consumer.audit.report import Report, percentile
from consumer.audit.report_view import SHARES, Sheet, remarks, seconds, sheets, span

_WIDTH: Final = 720
_HEIGHT: Final = 220
_LEFT: Final = 56
_BOTTOM: Final = 28
_COLOURS: Final = ("#2f6f9f", "#c2563b", "#7a9a3a", "#8a6bb0", "#b8912f", "#4b8b8b", "#8c8c8c")
_MOST_DAYS: Final = 92
_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c1c1a; --soft: #66665f; --line: #d9d9d2; --paper: #fdfdfb; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e2; --soft: #a0a098; --line: #3a3a36; --paper: #1b1b19; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 46rem;
  margin: 2.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2.2rem 0 .5rem; }
p { color: var(--soft); margin: .3rem 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 500; } th:first-child, td:first-child { text-align: left; padding-left: 0; }
.figures { display: flex; flex-wrap: wrap; gap: 2rem; margin: 1.5rem 0; }
.figures div { font-size: 1.6rem; } .figures span { display: block; font-size: .8rem; color: var(--soft); }
svg { width: 100%; height: auto; } svg text { fill: var(--soft); font-size: 11px; font-family: inherit; }
svg line { stroke: var(--line); } .key { display: flex; flex-wrap: wrap; gap: 1rem; font-size: .85rem; }
.key i { display: inline-block; width: .7rem; height: .7rem; margin-right: .35rem; border-radius: 2px; }
"""


def page(report: Report) -> str:
    """The whole page."""
    body = [
        f"<h1>Cancellations</h1><p>{escape(span(report))}</p>",
        *(f"<p>{escape(remark)}</p>" for remark in remarks(report)),
        _figures(report),
        _days(report),
        _histogram(report),
        *map(_table, sheets(report)),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Cancellations</title>'
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _figures(report: Report) -> str:
    ordered = sorted(report.from_acceptance)
    told = [
        (f"{report.decisions['accepted']:,}", "accepted"),
        (f"{report.outcomes['cancelled']:,}", "cancelled"),
        (f"{report.outcomes['failed']:,}", "failed"),
        (f"{report.outcomes['open']:,}", "open"),
        *((seconds(percentile(ordered, share)), f"{label} to cancelled") for share, label in SHARES),
    ]
    cells = "".join(f"<div>{escape(value)}<span>{escape(label)}</span></div>" for value, label in told)
    return f'<div class="figures">{cells}</div>'


def _days(report: Report) -> str:
    """Decisions of each day, one bar on top of the other."""
    days = sorted({day for day, _ in report.days})[-_MOST_DAYS:]
    if not days:
        return ""
    names = [name for name, count in report.decisions.most_common() if name != "joined" and count]
    stacks = [[report.days[day, name] for name in names] for day in days]
    top = _round_up(max(map(sum, stacks)))
    width = (_WIDTH - _LEFT) / len(days)
    bar, bars = min(width * 0.8, 60), []
    for number, (day, stack) in enumerate(zip(days, stacks, strict=True)):
        below = 0.0
        for name, count, colour in zip(names, stack, _cycled(len(names)), strict=True):
            height = count / top * (_HEIGHT - _BOTTOM)
            below += height
            title = escape(f"{day}: {count:,} {name}")
            bars.append(_bar(_LEFT + number * width, below, bar, height, colour=colour, title=title))
    labels = {_LEFT + n * width + bar / 2: day for n, day in enumerate(days) if n % math.ceil(len(days) / 7) == 0}
    key = "".join(
        f'<span><i style="background:{colour}"></i>{escape(name)}</span>'
        for name, colour in zip(names, _cycled(len(names)), strict=True)
    )
    return f'<h2>Decisions by day</h2><div class="key">{key}</div>{_chart(bars, labels, top)}'


def _histogram(report: Report) -> str:
    """How long cancelling took; each column is twice as wide in time as the one before."""
    values = report.from_acceptance
    if not values:
        return ""
    steps = [max(-7, math.ceil(math.log2(value))) if value > 0 else -7 for value in values]
    first, last = min(steps), max(steps)
    counts = [0] * (last - first + 1)
    for step in steps:
        counts[step - first] += 1
    top = _round_up(max(counts))
    width = (_WIDTH - _LEFT) / len(counts)
    bar, bars, labels = min(width * 0.9, 90), [], {}
    for number, count in enumerate(counts):
        upper = 2.0 ** (first + number)
        height = count / top * (_HEIGHT - _BOTTOM)
        title = f"{count:,} took up to {_short(upper)}"
        bars.append(_bar(_LEFT + number * width, height, bar, height, colour=_COLOURS[0], title=title))
        if number % math.ceil(len(counts) / 9) == 0:
            labels[_LEFT + number * width + bar / 2] = f"≤ {_short(upper)}"
    return f"<h2>Time from acceptance to cancelled</h2>{_chart(bars, labels, top)}"


def _bar(x: float, top: float, width: float, height: float, *, colour: str, title: str) -> str:
    """`top` is how high its upper edge is above the axis."""
    y = _HEIGHT - _BOTTOM - top
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}">'
        f"<title>{title}</title></rect>"
    )


def _chart(bars: Sequence[str], labels: Mapping[float, str], top: float) -> str:
    axis = []
    for part in (0.0, 0.5, 1.0):
        y = (_HEIGHT - _BOTTOM) * (1 - part) + 6
        axis.append(f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
        axis.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{top * part:,.0f}</text>')
    marks = [
        f'<text x="{x:.1f}" y="{_HEIGHT}" text-anchor="middle">{escape(label)}</text>' for x, label in labels.items()
    ]
    shifted = f'<g transform="translate(0 6)">{"".join(bars)}</g>'
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + 8}" role="img">{"".join(axis)}{shifted}{"".join(marks)}</svg>'


def _table(sheet: Sheet) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in sheet.columns)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in sheet.rows)
    return f"<h2>{escape(sheet.title)}</h2><table><tr>{head}</tr>{rows}</table>"


def _round_up(value: float) -> float:
    """To the next even number of one or two digits, so that half of it is a number too."""
    size = 10.0 ** max(0, math.floor(math.log10(max(value, 1))))
    return next(size * step for step in (2, 4, 6, 8, 10) if size * step >= value)


def _short(duration: float) -> str:
    if duration < 1:
        return f"{duration * 1000:.0f} ms"
    if duration < 60:  # noqa: PLR2004
        return f"{duration:.0f} s"
    return f"{duration / 60:.0f} min" if duration < 3600 else f"{duration / 3600:.0f} h"  # noqa: PLR2004


def _cycled(count: int) -> list[str]:
    return [_COLOURS[n % len(_COLOURS)] for n in range(count)]
