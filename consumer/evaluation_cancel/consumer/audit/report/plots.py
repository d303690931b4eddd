"""The plots of a report as SVG: decisions by day, and durations. `html.py` puts them on the page."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from html import escape
from typing import Final

from evaluation_cancel.consumer.audit.report.report import Report, percentile

SHARES: Final = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
_WIDTH: Final = 720
_TOP: Final = 26
_PLOT: Final = 190
_LEFT: Final = 56
_RIGHT: Final = _WIDTH - 20
"""The space to the right has room for half a label."""
_HEIGHT: Final = _TOP + _PLOT + 44
_COLOURS: Final = ("#2f6f9f", "#c2563b", "#7a9a3a", "#8a6bb0", "#b8912f", "#4b8b8b", "#8c8c8c")
_MOST_DAYS: Final = 92
_SHORTEST: Final = -7
"""Exponent of two of the first column: all durations up to 8 ms are in it."""


def by_day(report: Report) -> str:
    """Decisions as stacked bars, one for each day, days without decisions included. Empty without decisions."""
    days = list(_days(report))
    if not days:
        return ""
    shown = days[-_MOST_DAYS:]
    names = [name for name, count in report.decisions.most_common() if name != "joined" and count]
    colours = dict(zip(names, itertools.cycle(_COLOURS), strict=False))
    tick, top = _scale(max(sum(report.days[day, name] for name in names) for day in shown))
    width = (_RIGHT - _LEFT) / len(shown)
    bar, bars, labels = min(width * 0.8, 60), [], {}
    for number, day in enumerate(shown):
        x, below = _LEFT + number * width, 0.0
        for name in names:
            count = report.days[day, name]
            if count:
                below += count / top * _PLOT
                height = count / top * _PLOT
                title = f"{day}: {count:,} {name}"
                bars.append(_bar(x, below, bar, height, colour=colours[name], title=title))
        if number % math.ceil(len(shown) / 7) == 0:
            labels[x + bar / 2] = day
    key = "".join(f'<span><i style="background:{colours[n]}"></i>{escape(n)}</span>' for n in names)
    more = "" if shown == days else f", the last {len(shown)} of {len(days)} days"
    chart = _chart("Decisions by day", bars, labels, (tick, top), upward="decisions", across="day (UTC)")
    return f'<h2>Decisions by day{more}</h2><div class="key">{key}</div>{chart}'


def _days(report: Report) -> Iterator[str]:
    days = [date.fromisoformat(day) for day, _ in report.days]
    if days:
        first, last = min(days), max(days)
        for number in range((last - first).days + 1):
            yield f"{first + timedelta(days=number):%Y-%m-%d}"


def durations(report: Report) -> str:
    """Durations from acceptance to cancelled. Each column covers twice the time of the one before."""
    values = sorted(report.from_acceptance)
    if not values:
        return ""
    steps = [max(_SHORTEST, math.ceil(math.log2(value))) if value > 0 else _SHORTEST for value in values]
    first, last = min(steps), max(steps)
    counts = [steps.count(step) for step in range(first, last + 1)]
    tick, top = _scale(max(counts))
    width = min((_RIGHT - _LEFT) / len(counts), 90)
    bars, labels = [], {}
    for number, count in enumerate(counts):
        x, upper = _LEFT + number * width, 2.0 ** (first + number)
        height = count / top * _PLOT
        title = f"{count:,} took up to {_short(upper)}"
        bars.append(_bar(x, height, width - 2, height, colour=_COLOURS[0], title=title))
        if number % math.ceil(len(counts) / 10) == 0:
            labels[x + width] = _short(upper)
    for share, name in SHARES:
        value = percentile(values, share)
        if value is not None and value > 0:
            bars.append(_mark(_LEFT + (max(_SHORTEST, math.log2(value)) - first + 1) * width, name))
    title = "Time from acceptance to cancelled"
    chart = _chart(
        title,
        bars,
        labels,
        (tick, top),
        upward="cancellations",
        across="time up to; each column twice as wide",
    )
    return f"<h2>{title}</h2>{chart}"


def _bar(x: float, top: float, width: float, height: float, *, colour: str, title: str) -> str:
    """A bar. `top` is the height of its upper edge above the axis."""
    y = _TOP + _PLOT - top
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}">'
        f"<title>{escape(title)}</title></rect>"
    )


def _mark(x: float, name: str) -> str:
    """A line at a percentile. The names are on different rows, so that close ones do not overlap."""
    row = [label for _, label in SHARES].index(name)
    return (
        f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_TOP + _PLOT}"/>'
        f'<text class="mark" x="{x + 4:.1f}" y="{_TOP + 12 + row * 13}">{name}</text>'
    )


def _chart(
    title: str,
    bars: Sequence[str],
    labels: Mapping[float, str],
    scale: tuple[float, float],
    *,
    upward: str,
    across: str,
) -> str:
    tick, top = scale
    axis = [f'<text x="0" y="12">{upward}</text>']
    for number in range(round(top / tick) + 1):
        y = _TOP + _PLOT * (1 - number * tick / top)
        axis.append(f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        axis.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{number * tick:,.0f}</text>')
    below = _TOP + _PLOT + 16
    marks = [f'<text x="{x:.1f}" y="{below}" text-anchor="middle">{escape(text)}</text>' for x, text in labels.items()]
    marks.append(f'<text x="{_RIGHT}" y="{below + 18}" text-anchor="end">{across}</text>')
    inner = "".join((*axis, *bars, *marks))
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">{inner}</svg>'


def _scale(most: float) -> tuple[float, float]:
    """The distance of ticks (1, 2 or 5 times a power of ten) and the axis' end, at most five ticks up."""
    rough = max(most, 1) / 5
    size = 10.0 ** math.floor(math.log10(rough)) if rough > 1 else 1.0
    tick = next(size * step for step in (1, 2, 5, 10) if size * step >= rough)
    return tick, tick * math.ceil(max(most, 1) / tick)


def _short(duration: float) -> str:
    if duration < 1:
        return f"{duration * 1000:.0f} ms"
    if duration < 60:  # noqa: PLR2004
        return f"{duration:.0f} s"
    return f"{duration / 60:.0f} min" if duration < 3600 else f"{duration / 3600:.0f} h"  # noqa: PLR2004
