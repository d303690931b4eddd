"""The plots of a report: every day has its place, every axis its unit, and the scale fits."""

from __future__ import annotations

import re
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from evaluation_cancel.consumer.audit.report.plots import _scale, by_day, durations
from evaluation_cancel.consumer.audit.report.report import Report
from tests.support.schemas.examples import NOON


def report(days: dict[str, int] | None = None, seconds: tuple[float, ...] = ()) -> Report:
    found = Report(since=None, before=NOON, source="archive")
    for day, count in (days or {}).items():
        found.days[day, "accepted"] = count
        found.decisions["accepted"] += count
    found.from_acceptance.extend(seconds)
    return found


def bars(svg: str) -> list[tuple[float, float]]:
    """Where each begins, and how high it is."""
    return [(float(x), float(h)) for x, h in re.findall(r'<rect x="([\d.]+)" .*?height="([\d.]+)"', svg)]


def test_days_without_decisions_have_their_place() -> None:
    plot = by_day(report({"2026-02-27": 4, "2026-03-02": 2}))
    (first, high), (last, low) = bars(plot)
    assert high == 2 * low
    for day in ("02-27", "02-28", "03-01", "03-02"):
        assert f">2026-{day}<" in plot
    assert last - first == 3 * (700 - 56) / 4


def test_of_a_long_time_the_last_days_are_shown_and_that_is_said() -> None:
    days = {f"{NOON + timedelta(days=n):%Y-%m-%d}": 1 for n in range(100)}
    plot = by_day(report(days))
    assert "the last 92 of 100 days" in plot
    assert len(bars(plot)) == 92


def test_axes_have_units_and_percentiles_are_marked() -> None:
    plot = durations(report(seconds=(0.0, 0.9, 1.0, 1.5, 90.0, 7200.0)))
    for word in ("cancellations", "time up to", "p50", "p95", "p99", "8 ms", "2 h"):
        assert word in plot, word
    assert "decisions<" in by_day(report({"2026-02-27": 1}))
    assert "day (UTC)<" in by_day(report({"2026-02-27": 1}))
    assert sum(height > 0 for _, height in bars(plot)) == 5, "0.9 and 1.0 share one, 1.5 is in the next"


def test_without_events_there_is_no_plot() -> None:
    assert by_day(report()) == durations(report()) == ""


@given(st.integers(0, 10**9))
def test_the_scale_holds_the_most_in_a_few_round_ticks(most: int) -> None:
    tick, top = _scale(most)
    assert top >= most
    assert 1 <= round(top / tick) <= 5
    assert str(round(tick)).rstrip("0") in {"1", "2", "5"}
