"""Prints an explanation as a timeline on the terminal or as JSON."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import orjson
from rich.console import Console
from rich.text import Text

from evaluation_cancel.consumer.audit.archive.keys import data_prefix
from evaluation_cancel.consumer.audit.explain.explain import Explanation
from evaluation_cancel.consumer.audit.explain.timeline import Entry
from evaluation_cancel.consumer.audit.history.wording import plain

_STYLES: Final = {
    "cancel": "cyan",
    "accepted": "bold yellow",
    "cancelled": "bold green",
    "rejected": "bold red",
    "failed": "bold red",
    "error": "red",
    "open": "yellow",
    "dead letter": "bold red",
}
_KEPT_SHOWN: Final = 10


def show(explanation: Explanation, console: Console) -> None:
    """Print the timeline, the artifacts, and the sources that were read or not."""
    console.print(Text(f"Evaluation {explanation.evaluation_id}", style="bold"))
    console.print(Text(_summary(explanation)))
    objects: dict[str, int] = {}
    day = ""
    for entry in explanation.entries:
        if f"{entry.at:%Y-%m-%d}" != day:
            day = f"{entry.at:%Y-%m-%d}"
            console.print(Text(f"\n{day} (UTC)", style="dim"))
        _show_entry(entry, objects, console)
    console.print()
    _show_artifacts(explanation, console)
    for remark in explanation.remarks:
        console.print(Text(remark, style="yellow"))
    console.print(Text(f"Read: {', '.join(explanation.read) or 'nothing'}.", style="dim"))
    for name, reason in explanation.unread.items():
        console.print(Text(f"Not read: {name}: {plain(reason)}", style="bold red"))
    for key, number in objects.items():
        console.print(Text(f"archive object {number}: {key}", style="dim"), soft_wrap=True)


def _show_entry(entry: Entry, objects: dict[str, int], console: Console) -> None:
    """Print time, kind and detail of an entry, and its sources below."""
    head = Text.assemble(
        (f"  {entry.at:%H:%M:%S.%f}"[:-3], "dim"), "  ", (f"{entry.kind:<18}", _STYLES.get(entry.kind, "bold"))
    )
    width = max(20, console.width - len(head))
    first, *more = textwrap.wrap(entry.detail, width) or [""]
    console.print(head + Text(first), soft_wrap=True)
    sources = plain(", ".join(_short(source, objects) for source in entry.sources))
    for text, style in [(m, "") for m in more] + [(m, "dim") for m in textwrap.wrap(sources, width)]:
        console.print(Text(" " * len(head) + text, style=style), soft_wrap=True)


def _short(source: str, objects: dict[str, int]) -> str:
    """Number the archive's objects, whose long keys are printed once at the end."""
    if not source.startswith(data_prefix("")):
        return source
    return f"archive object {objects.setdefault(source, len(objects) + 1)}"


def _summary(explanation: Explanation) -> str:
    stored = explanation.stored
    if stored is None:
        return "Its present state is not known: Postgres could not be read."
    if stored.evaluation is None:
        return "There is no such evaluation now."
    row = stored.evaluation
    job = "" if row.job_name is None else f"; Job {row.job_namespace}/{row.job_name}"
    where = "" if row.cluster is None else f" in cluster {row.cluster}"
    return plain(f"It is {row.status}, of team {row.team_id}{job}{where}.")


def _show_artifacts(explanation: Explanation, console: Console) -> None:
    for state, report in explanation.artifacts:
        deleted = f"{_count(report, 'deleted_count')} deleted ({_count(report, 'deleted_bytes')} bytes)"
        left = f"{_count(report, 'kept_count')} kept on purpose, {_count(report, 'failed_count')} left over"
        console.print(Text(plain(f"Artifacts: {state}; {deleted}, {left}.")))
        if report.get("last_error"):
            console.print(Text(plain(f"  last error: {report['last_error']}"), style="red"))
        kept = report.get("kept")
        kept = [item for item in kept if isinstance(item, dict)] if isinstance(kept, list) else []
        for item in kept[:_KEPT_SHOWN]:
            console.print(Text(plain(f"  {item.get('key')}: {item.get('why')}")))
        if len(kept) > _KEPT_SHOWN:
            console.print(f"  and {len(kept) - _KEPT_SHOWN} more")


def _count(report: Mapping[str, Any], name: str) -> str:
    number = report.get(name, 0)
    return f"{number:,}" if isinstance(number, int) else "?"


def print_json(explanation: Explanation) -> None:
    """Print all of the explanation as JSON; `now` has all columns of the evaluation."""
    stored = explanation.stored
    answer: dict[str, Any] = {
        "evaluation_id": explanation.evaluation_id,
        "now": None if stored is None or stored.evaluation is None else asdict(stored.evaluation),
        "timeline": [
            {"at": e.at, "what": e.kind, "detail": e.detail, "sources": list(e.sources)} for e in explanation.entries
        ],
        "artifacts": [{"state": state, **report} for state, report in explanation.artifacts],
        "remarks": explanation.remarks,
        "read": explanation.read,
        "unread": explanation.unread,
    }
    sys.stdout.write(orjson.dumps(answer, option=orjson.OPT_INDENT_2, default=str).decode() + "\n")
