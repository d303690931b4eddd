"""Judges the commands of one evaluation. Pure.

Each has a decision, the inbox says of it what the archive says, and the rules decide the same again.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson

from evaluation_cancel.consumer.audit.history.strict import ArchivedCommand, place
from evaluation_cancel.consumer.audit.verify.context import Case, Context
from evaluation_cancel.consumer.audit.verify.redecide import contradiction
from evaluation_cancel.consumer.sql.database import Row
from evaluation_cancel.schemas.events import EvaluationCancelFailed, EvaluationCancelled, event_id

_DECISION_EVENTS = ("EvaluationCancelAccepted", "EvaluationCancelRejected")


def judge_commands(case: Case, context: Context) -> None:
    rows = {(r["source"], r["id"]): r for r in case.stored.commands} if case.stored else {}
    told = _told_by_events(case)
    first: dict[tuple[str, str], ArchivedCommand] = {}
    for command in sorted(case.archived.commands, key=lambda c: c.at):
        context.findings.counts["commands"] += 1
        dead = context.dead.get(command.position)
        earlier = first.get(command.key)
        if dead is not None:
            if dead.sha256 != command.sha256:
                context.findings.defect(
                    dead.where, "dead_letter_differs", f"does not hold the bytes of {command.where}"
                )
        elif earlier is None:
            first[command.key] = command
            _judge_first(command, rows.get(command.key), case, context, told)
        elif earlier.command.meaning() != command.command.meaning():
            _undecided(command, context, "has the id of another command, and no dead letter says so")
    archived = {c.position: c for c in case.archived.commands}
    for row in rows.values():
        _judge_row(row, archived, case, context)


def _told_by_events(case: Case) -> tuple[set[UUID], set[str], bool]:
    """Ids of decision events; command ids that outcomes name; whether an outcome has more of them than it names."""
    ids = {UUID(e.envelope.id) for e in case.archived.events if e.type in _DECISION_EVENTS and _is_uuid(e.envelope.id)}
    named: set[str] = set()
    more = False
    for archived in case.archived.events:
        event = archived.event
        if isinstance(event, EvaluationCancelled | EvaluationCancelFailed):
            named |= set(event.command_ids)
            more = more or event.command_count > len(event.command_ids)
    return ids, named, more


def _judge_first(
    command: ArchivedCommand,
    row: Row | None,
    case: Case,
    context: Context,
    told: tuple[set[UUID], set[str], bool],
) -> None:
    if row is not None:
        difference = _difference(command, row)
        if difference is not None:
            context.findings.defect(_row_name(row), "row_differs", f"{difference}, unlike {command.where}")
        if row["decision"] is None:
            _undecided(command, context, "is in the inbox without a decision")
        return
    ids, named, more = told
    by_event = any(event_id(*command.key, name) in ids for name in _DECISION_EVENTS)
    if not by_event and command.envelope.id not in named and not more:
        _undecided(command, context, "has no decision: neither event, nor inbox row, nor dead letter")
    elif case.stored is not None and context.inbox_has(command.at) and not context.is_young(command.at):
        context.findings.defect(command.where, "row_missing", "was decided, and the inbox no longer knows of it")


def _undecided(command: ArchivedCommand, context: Context, detail: str) -> None:
    tell = context.findings.notice if context.is_young(command.at) else context.findings.defect
    tell(command.where, "undecided", f"{detail}, since {command.at:%Y-%m-%d %H:%M:%SZ}")


def _difference(command: ArchivedCommand, row: Row) -> str | None:
    """The first thing that the inbox says otherwise than the record."""
    asked = command.command
    said: dict[str, tuple[Any, Any]] = {
        "meaning": (row["meaning"], asked.meaning()),
        "evaluation_id": (row["evaluation_id"], asked.evaluation_id),
        "actor_kind": (row["actor_kind"], asked.requested_by.kind),
        "actor_id": (row["actor_id"], asked.requested_by.id),
        "reason": (row["reason"], asked.reason),
        "cleanup_artifacts": (row["cleanup_artifacts"], asked.cleanup_artifacts),
    }
    # Another delivery of the same command may list other teams and times, and may be the one that was recorded.
    if (row["topic"], row["partition"], row["offset"]) == command.position:
        said |= {
            "raw_sha256": (row["raw_sha256"], command.sha256),
            "team_ids": (tuple(orjson.loads(row["team_ids"])), asked.requested_by.team_ids),
            "requested_at": (row["requested_at"], command.envelope.time),
            "expires_at": (row["expires_at"], command.envelope.expirytime),
        }
    return next((f"{name} is {a!r}"[:200] for name, (a, b) in said.items() if a != b), None)


def _judge_row(row: Row, archived: dict[tuple[str, int, int], ArchivedCommand], case: Case, context: Context) -> None:
    context.findings.counts["inbox rows"] += 1
    position = (row["topic"], row["partition"], row["offset"])
    record = archived.get(position)
    if record is None and context.reach.covers(position):
        detail = f"{place(position)} in the archive is no command of this evaluation"
        context.findings.defect(_row_name(row), "row_without_record", detail)
    elif record is not None and record.key != (row["source"], row["id"]):
        context.findings.defect(_row_name(row), "row_without_record", f"{record.where} has another source or id")
    elif record is None and _is_behind(position, context) and not context.is_young(row["received_at"]):
        context.findings.defect(_row_name(row), "not_archived", f"{place(position)} is not in the archive")
    if row["decision"] is None:
        return
    wrong = contradiction(row)
    if wrong is not None:
        context.findings.defect(_row_name(row), "decision_differs", wrong)
    if row["every_team"] and row["source"] not in context.every_team_sources:
        detail = f"acted for every team, and {row['source']!r} may not"[:300]
        context.findings.notice(_row_name(row), "every_team", detail)
    if row["decision"] == "rejected" and not context.is_young(row["decided_at"]):
        _rejection_was_told(row, case, context)
    if row["decision"] == "accepted" and not _opened(row, case):
        context.findings.defect(_row_name(row), "row_missing", f"cancellation {row['cancellation_id']} is not its own")


def _is_behind(position: tuple[str, int, int], context: Context) -> bool:
    return position[2] >= context.reach.next_offsets.get(position[:2], 0)


def _rejection_was_told(row: Row, case: Case, context: Context) -> None:
    wanted = str(event_id(row["source"], row["id"], "EvaluationCancelRejected"))
    waiting = {str(m["event_id"]) for m in (case.stored.messages if case.stored else ()) if m["waiting"]}
    told = [e for e in case.archived.events if e.envelope.id == wanted]
    if not told and wanted not in waiting and context.reach.is_whole(context.events_topic):
        context.findings.defect(
            _row_name(row), "event_missing", f"its rejection, event {wanted}, is not in the archive"
        )
    for event in told:
        data = event.event
        if (
            getattr(data, "code", None) != row["code"]
            or getattr(data, "cancellation_id", None) != row["cancellation_id"]
        ):
            detail = f"tells another rejection than the inbox, which has {row['code']}"
            context.findings.defect(event.where, "event_differs", detail)


def _opened(row: Row, case: Case) -> bool:
    """Whether the cancellation of an acceptance is there and names this command."""
    return case.stored is not None and any(
        (c["id"], c["command_source"], c["command_id"]) == (row["cancellation_id"], row["source"], row["id"])
        for c in case.stored.cancellations
    )


def _row_name(row: Row) -> str:
    return f"commands row ({row['source']}, {row['id']}) of evaluation {row['evaluation_id']}"


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
