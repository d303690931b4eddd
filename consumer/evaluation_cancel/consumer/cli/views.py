"""What operators see: the stored state of one evaluation, and open cancellations. As tables or as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from evaluation_cancel.consumer.domain.decisions import UNKNOWN_STATUS
from evaluation_cancel.consumer.domain.evidence import load_evidence
from evaluation_cancel.consumer.domain.waiting import waits_for
from evaluation_cancel.consumer.sql import reads
from evaluation_cancel.consumer.sql.database import Database
from evaluation_cancel.schemas.plain_text import visible, visible_json

_STATUS_TABLES: Final = {
    "cancellations": ("id", "phase", "actor_id", "reason", "accepted_at", "ended_at", "attempts", "last_error_code"),
    "commands": ("source", "id", "actor_id", "decision", "code", "received_at"),
    "messages": ("sequence", "type", "event_id", "created_at", "waiting"),
}
_LONG_COLUMNS: Final = frozenset({"reason", "value", "waits_for", "source", "actor_id"})
_STUCK_COLUMNS: Final = (
    "evaluation_id",
    "team_id",
    "cluster",
    "phase",
    "accepted_at",
    "attempts",
    "claimed_by",
    "reason",
    "waits_for",
)


async def read_status(database: Database, evaluation_id: UUID, job_create_grace: float) -> dict[str, Any]:
    """All rows of one evaluation; `job_create_grace` is the setting, in seconds.

    One connection but several statements, so concurrent changes may show in part.
    """
    async with database.connection() as tx:
        evaluation = await reads.evaluation(tx, evaluation_id)
        held = await reads.held_report(tx, evaluation_id)
        return {
            "evaluation": dict(evaluation) if evaluation else None,
            "held_report": dict(held) if held else None,
            "cancellations": [
                _cancellation(row, job_create_grace) for row in await reads.cancellations(tx, evaluation_id)
            ],
            "commands": [dict(row) for row in await reads.commands(tx, evaluation_id)],
            "messages": [_message(row) for row in await reads.messages(tx, evaluation_id)],
        }


async def read_stuck(
    database: Database, older_than: float, limit: int, job_create_grace: float
) -> list[dict[str, Any]]:
    """Cancellations that have been open for more than `older_than` seconds, oldest first."""
    async with database.connection() as tx:
        return [_with_reasons(dict(row), job_create_grace) for row in await reads.stuck(tx, older_than, limit)]


def print_status(known: Mapping[str, Any], console: Console, *, as_json: bool) -> None:
    """Print the result of `read_status`."""
    if as_json:
        _print_json(known, console)
        return
    if known["evaluation"] is None:
        console.print("There is no such evaluation.")
    else:
        console.print(_status_line(known))
        facts = [{"column": k, "value": v} for k, v in known["evaluation"].items() if v is not None]
        console.print(_table("evaluation", ("column", "value"), facts))
    for name, columns in _STATUS_TABLES.items():
        if known[name]:
            console.print(_table(name, columns, known[name]))
    for row in known["cancellations"]:
        for reason in row.get("waits_for", ()):
            console.print(Text(f"{row['id']}: {visible(reason)}"), soft_wrap=True)
        for document in ("evidence", "cleanup_report"):
            if row[document]:
                console.print(f"{document} of {row['id']}:")
                _print_json(row[document], console)


def _status_line(known: Mapping[str, Any]) -> Text:
    """The state of the evaluation in one sentence."""
    evaluation, cancellations = known["evaluation"], known["cancellations"]
    status = str(evaluation["status"])
    if status == UNKNOWN_STATUS:
        status = f"of an unknown status ({evaluation['word']})"
    now = "no cancellation of it was accepted"
    if cancellations:
        last = cancellations[-1]
        open_or_ended = "is open, in the phase" if last["ended_at"] is None else "ended as"
        now = f"its last cancellation {open_or_ended} {last['phase']}"
    return Text(visible(f"Evaluation {evaluation['id']} is {status}; {now}."))


def print_stuck(rows: Sequence[Mapping[str, Any]], older_than: float, console: Console, *, as_json: bool) -> None:
    """Print the result of `read_stuck`."""
    if as_json:
        _print_json(rows, console)
    elif rows:
        console.print(_table(f"open cancellations older than {older_than:g} s", _STUCK_COLUMNS, rows))
    else:
        console.print(f"No cancellation has been open for more than {older_than:g} s.")


def _print_json(value: object, console: Console) -> None:
    document = orjson.dumps(value, default=_json_default, option=orjson.OPT_INDENT_2).decode()
    console.print(Text(visible_json(document)), soft_wrap=True)


def _table(title: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        # An id or a word that is broken can be neither read nor copied.
        table.add_column(column.replace("_", " "), overflow="fold", no_wrap=column not in _LONG_COLUMNS)
    for row in rows:
        table.add_row(*(Text(_text(row[column])) for column in columns))
    return table


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return "\n".join(visible(str(each)) for each in value)
    return f"{value:%Y-%m-%d %H:%M:%S.%f}Z" if isinstance(value, datetime) else visible(str(value))


def _cancellation(row: Mapping[str, Any], job_create_grace: float) -> dict[str, Any]:
    known = _with_reasons(dict(row), job_create_grace) if row["ended_at"] is None else dict(row)
    opened = {name: None if row[name] is None else orjson.loads(row[name]) for name in ("evidence", "cleanup_report")}
    return {**known, **opened}


def _with_reasons(row: dict[str, Any], job_create_grace: float) -> dict[str, Any]:
    """The row of an open cancellation with `waits_for`. The error of an earlier attempt is left out."""
    if not row["errors"]:
        row["last_error_code"] = row["last_error_text"] = None
    code = row["last_error_code"]
    row["waits_for"] = waits_for(
        load_evidence(row.pop("evidence")),
        error=f"{code}: {row['last_error_text']}" if code else None,
        holder=row["claimed_by"],
        due=row["next_attempt_at"],
        has_cluster=row["cluster"] is not None,
        appears_until=row["accepted_at"] + timedelta(seconds=job_create_grace),
    )
    return row


def _message(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "value": None if row["value"] is None else orjson.loads(row["value"])}


def _json_default(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
