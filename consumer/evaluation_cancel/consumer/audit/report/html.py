"""A report as one HTML page with inline style and SVG plots. It has no script and loads nothing.

`plots.py` makes the plots, `view.py` the tables.
"""

from __future__ import annotations

from html import escape
from typing import Final

from evaluation_cancel.consumer.audit.report.plots import SHARES, by_day, durations
from evaluation_cancel.consumer.audit.report.report import Report, percentile
from evaluation_cancel.consumer.audit.report.view import OPEN, Sheet, remarks, seconds, sheets, span

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c1c1a; --soft: #66665f; --line: #d9d9d2; --paper: #fdfdfb; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e2; --soft: #a0a098; --line: #3a3a36; --paper: #1b1b19; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 50rem;
  margin: 2.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2.2rem 0 .5rem; }
p { color: var(--soft); margin: .3rem 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 500; } th:first-child, td:first-child { text-align: left; padding-left: 0; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem 1.6rem; margin: 1.5rem 0; }
.figures div { font-size: 1.35rem; } .figures span { display: block; font-size: .8rem; color: var(--soft); }
svg { width: 100%; height: auto; } svg text { fill: var(--soft); font-size: 11px; font-family: inherit; }
svg line { stroke: var(--line); } svg line.mark { stroke: var(--ink); stroke-dasharray: 3 3; }
svg text.mark { fill: var(--ink); stroke: var(--paper); stroke-width: 3px; paint-order: stroke; }
.key { display: flex; flex-wrap: wrap; gap: 1rem; font-size: .85rem; }
.key i { display: inline-block; width: .7rem; height: .7rem; margin-right: .35rem; border-radius: 2px; }
"""


def page(report: Report) -> str:
    """The HTML of the page. All text from records is escaped."""
    body = [
        f"<h1>Cancellations</h1><p>{escape(span(report))}</p>",
        *(f"<p>{escape(remark)}</p>" for remark in remarks(report)),
        _figures(report),
        by_day(report),
        durations(report),
        *map(_table, sheets(report)),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Cancellations</title>'
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _figures(report: Report) -> str:
    ordered = sorted(report.from_acceptance)
    figures = [
        (f"{report.decisions['accepted']:,}", "accepted"),
        (f"{report.outcomes['cancelled']:,}", "cancelled"),
        (f"{report.outcomes['failed']:,}", "failed"),
        (f"{report.outcomes['open']:,}", OPEN),
        *((seconds(percentile(ordered, share), 1), f"{label} to cancelled") for share, label in SHARES),
    ]
    cells = "".join(f"<div>{escape(value)}<span>{escape(label)}</span></div>" for value, label in figures)
    return f'<div class="figures">{cells}</div>'


def _table(sheet: Sheet) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in sheet.columns)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in sheet.rows)
    return f"<h2>{escape(sheet.title)}</h2><table><tr>{head}</tr>{rows}</table>"
