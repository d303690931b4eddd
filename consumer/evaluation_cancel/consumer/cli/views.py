"""What an operator sees: all that is known of an evaluation, and what is stuck; as tables or as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from rich.console import Console
from rich.table import Table

from evaluation_cancel.consumer.sql import reads
from evaluation_cancel.consumer.sql.database import Database


async def status(database: Database, evaluation_id: UUID, console: Console, *, as_json: bool) -> bool:
    """Prints it; False when nothing at all is known of this id."""
    known = await read_status(database, evaluation_id)
    if as_json:
        console.print_json(orjson.dumps(known, default=_json_default).decode())
    else:
        _print_status(known, console)
    return known["evaluation"] is not None or bool(known["commands"])


async def read_status(database: Database, evaluation_id: UUID) -> dict[str, Any]:
    """Everything Postgres has of one evaluation, in one consistent-enough look."""
    async with database.connection() as tx:
        evaluation = await reads.evaluation(tx, evaluation_id)
        held = await reads.held_report(tx, evaluation_id)
        return {
            "evaluation": dict(evaluation) if evaluation else None,
            "held_report": dict(held) if held else None,
            "cancellations": [_cancellation(row) for row in await reads.cancellations(tx, evaluation_id)],
            "commands": [dict(row) for row in await reads.commands(tx, evaluation_id)],
            "messages": [_message(row) for row in await reads.messages(tx, evaluation_id)],
        }


async def stuck(database: Database, older_than: float, limit: int, console: Console, *, as_json: bool) -> None:
    async with database.connection() as tx:
        rows = [dict(row) for row in await reads.stuck(tx, older_than, limit)]
    if as_json:
        console.print_json(orjson.dumps(rows, default=_json_default).decode())
        return
    columns = ("evaluation_id", "cluster", "phase", "accepted_at", "attempts", "next_attempt_at", "last_error_code")
    console.print(_table(f"open cancellations older than {older_than:g} s", columns, rows))


def _print_status(known: Mapping[str, Any], console: Console) -> None:
    if known["evaluation"] is None:
        console.print("There is no such evaluation.")
    else:
        facts = {k: v for k, v in known["evaluation"].items() if v is not None}
        console.print(_table("evaluation", ("what", "value"), [{"what": k, "value": v} for k, v in facts.items()]))
    tables = {
        "cancellations": (
            "id",
            "phase",
            "actor_id",
            "reason",
            "accepted_at",
            "ended_at",
            "attempts",
            "last_error_code",
        ),
        "commands": ("source", "id", "actor_id", "decision", "code", "received_at"),
        "messages": ("sequence", "type", "event_id", "created_at", "waiting"),
    }
    for name, columns in tables.items():
        if known[name]:
            console.print(_table(name, columns, known[name]))
    for row in known["cancellations"]:
        for what in ("evidence", "cleanup_report"):
            if row[what]:
                console.print(f"{what} of {row['id']}:")
                console.print_json(orjson.dumps(row[what]).decode())


def _table(title: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_text(row[column]) for column in columns))
    return table


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:%Y-%m-%d %H:%M:%S.%f}Z" if isinstance(value, datetime) else str(value)


def _cancellation(row: Mapping[str, Any]) -> dict[str, Any]:
    opened = {name: None if row[name] is None else orjson.loads(row[name]) for name in ("evidence", "cleanup_report")}
    return {**row, **opened}


def _message(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "value": None if row["value"] is None else orjson.loads(row["value"])}


def _json_default(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return str(value)
