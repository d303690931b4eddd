"""Checks the commands of one evaluation. Pure.

Each command must have a decision, its inbox row must agree with its record, and the rules must give the same decision
again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from evaluation_cancel.consumer.audit.history.strict import ArchivedCommand, place
from evaluation_cancel.consumer.audit.verify.context import Case, Context
from evaluation_cancel.consumer.audit.verify.redecide import contradiction
from evaluation_cancel.consumer.domain.audit_rows import CommandRow
from evaluation_cancel.consumer.domain.commands import CommandKey
from evaluation_cancel.schemas.events import EvaluationCancelFailed, EvaluationCancelled, event_id

_DECISION_EVENTS = ("EvaluationCancelAccepted", "EvaluationCancelRejected")


def check_commands(case: Case, context: Context) -> None:
    """Check the archived commands, then the rows of the inbox."""
    rows = {row.key: row for row in case.stored.commands} if case.stored else {}
    published = _published_decisions(case)
    first: dict[CommandKey, ArchivedCommand] = {}
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
            _check_first(command, rows.get(command.key), case, context, published)
        elif earlier.command.meaning() != command.command.meaning():
            _report_undecided(command, context, "has the id of another command and no dead letter")
    archived = {c.position: c for c in case.archived.commands}
    for row in rows.values():
        _check_record(row, archived.get(row.position), context)
        if row.decision is not None:
            _check_decision(row, case, context)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Published:
    """What the archived events say about decisions."""

    decision_ids: set[UUID]
    """Ids of decision events."""
    command_ids: set[str]
    """Ids of commands that outcomes list."""
    is_list_cut: bool
    """Whether an outcome has more commands than it lists."""


def _published_decisions(case: Case) -> _Published:
    outcomes = [
        e.event for e in case.archived.events if isinstance(e.event, EvaluationCancelled | EvaluationCancelFailed)
    ]
    return _Published(
        decision_ids={
            UUID(e.envelope.id) for e in case.archived.events if e.type in _DECISION_EVENTS and _is_uuid(e.envelope.id)
        },
        command_ids={command_id for outcome in outcomes for command_id in outcome.command_ids},
        is_list_cut=any(outcome.command_count > len(outcome.command_ids) for outcome in outcomes),
    )


def _check_first(
    command: ArchivedCommand, row: CommandRow | None, case: Case, context: Context, published: _Published
) -> None:
    """Check the first record of a command; later ones with the same id are duplicates."""
    if row is not None:
        difference = _difference(command, row)
        if difference is not None:
            context.findings.defect(_row_name(row), "row_differs", f"{difference}, unlike {command.where}")
        if row.decision is None:
            _report_undecided(command, context, "is in the inbox without a decision")
        return
    has_event = any(event_id(*command.key, name) in published.decision_ids for name in _DECISION_EVENTS)
    if not has_event and command.envelope.id not in published.command_ids and not published.is_list_cut:
        _report_undecided(command, context, "has no decision: no event, no inbox row and no dead letter")
    elif case.stored is not None and context.inbox_has(command.at) and not context.is_young(command.at):
        context.findings.defect(command.where, "row_missing", "was decided, and its inbox row is missing")


def _report_undecided(command: ArchivedCommand, context: Context, detail: str) -> None:
    detail = f"{detail}, since {command.at:%Y-%m-%d %H:%M:%SZ}"
    context.findings.add(command.where, "undecided", detail, is_defect=not context.is_young(command.at))


def _difference(command: ArchivedCommand, row: CommandRow) -> str | None:
    """Describe the first column that differs from the record."""
    data = command.command
    values: dict[str, tuple[Any, Any]] = {
        "meaning": (row.meaning, data.meaning()),
        "evaluation_id": (row.evaluation_id, data.evaluation_id),
        "actor_kind": (row.actor_kind, data.requested_by.kind),
        "actor_id": (row.actor_id, data.requested_by.id),
        "reason": (row.reason, data.reason),
        "cleanup_artifacts": (row.cleanup_artifacts, data.cleanup_artifacts),
    }
    # Another delivery of the same command may have other teams and times, and may be the one in the inbox.
    if row.position == command.position:
        values |= {
            "raw_sha256": (row.raw_sha256, command.sha256),
            "team_ids": (tuple(orjson.loads(row.team_ids)), data.requested_by.team_ids),
            "requested_at": (row.requested_at, command.envelope.time),
            "expires_at": (row.expires_at, command.envelope.expirytime),
        }
    return next((f"{name} is {a!r}"[:200] for name, (a, b) in values.items() if a != b), None)


def _check_record(row: CommandRow, record: ArchivedCommand | None, context: Context) -> None:
    """Check that the archive has the record at the row's position."""
    context.findings.counts["inbox rows"] += 1
    name, where = _row_name(row), place(row.position)
    if record is not None:
        if record.key != row.key:
            context.findings.defect(name, "row_without_record", f"{where} has another source or id")
    elif context.reach.covers(row.position):
        detail = f"{where} in the archive is not a command of this evaluation"
        context.findings.defect(name, "row_without_record", detail)
    elif context.reach.is_after_end(row.position) and not context.is_young(row.received_at):
        context.findings.defect(name, "not_archived", f"{where} is not in the archive")


def _check_decision(row: CommandRow, case: Case, context: Context) -> None:
    name = _row_name(row)
    wrong = contradiction(row)
    if wrong is not None:
        context.findings.defect(name, "decision_differs", wrong)
    if row.every_team and row.source not in context.every_team_sources:
        detail = f"acted for every team, which {row.source!r} may not"[:300]
        context.findings.notice(name, "every_team", detail)
    if row.decision == "rejected" and row.decided_at is not None and not context.is_young(row.decided_at):
        _check_rejection_event(row, case, context)
    if row.decision == "accepted" and not _has_cancellation(row, case):
        context.findings.defect(name, "row_missing", f"cancellation {row.cancellation_id} is not its own")


def _check_rejection_event(row: CommandRow, case: Case, context: Context) -> None:
    wanted = str(event_id(*row.key, "EvaluationCancelRejected"))
    waiting = {str(m.event_id) for m in (case.stored.messages if case.stored else ()) if m.waiting}
    events = [e for e in case.archived.events if e.envelope.id == wanted]
    if not events and wanted not in waiting and context.reach.is_whole(context.events_topic):
        context.findings.defect(
            _row_name(row), "event_missing", f"its rejection, event {wanted}, is not in the archive"
        )
    for event in events:
        published = (getattr(event.event, "code", None), getattr(event.event, "cancellation_id", None))
        if published != (row.code, row.cancellation_id):
            detail = f"is another rejection than in the inbox, which has {row.code}"
            context.findings.defect(event.where, "event_differs", detail)


def _has_cancellation(row: CommandRow, case: Case) -> bool:
    """Whether the cancellation of an accepted command exists and names this command."""
    return case.stored is not None and any(
        (c.id, c.command_source, c.command_id) == (row.cancellation_id, row.source, row.id)
        for c in case.stored.cancellations
    )


def _row_name(row: CommandRow) -> str:
    return f"commands row ({row.source}, {row.id}) of evaluation {row.evaluation_id}"


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
