"""Holds history against what Postgres says now: cancellations, messages, and the evaluation itself. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from consumer.audit.archived import ArchivedEvent
from consumer.audit.judging import Case, Context, StoredEvaluation
from consumer.messages import unpack_headers
from consumer.store.database import Row
from schemas.events import EvaluationCancelAccepted, EvaluationCancelFailed, EvaluationCancelled

_OUTCOME_OF_PHASE = {"cancelled": EvaluationCancelled, "failed": EvaluationCancelFailed}


def judge_rows(case: Case, context: Context, events: Mapping[str, ArchivedEvent]) -> None:
    """`events`: those in the archive, by their ids."""
    stored = case.stored
    if stored is None:
        return
    told = list(events.values())
    for row in stored.cancellations:
        context.findings.counts["cancellations"] += 1
        _judge_cancellation(row, told, case, context)
    known = {row["id"] for row in stored.cancellations}
    for event in told:
        if isinstance(event.event, EvaluationCancelAccepted) and event.event.cancellation_id not in known:
            detail = f"cancellation {event.event.cancellation_id} of evaluation {case.evaluation_id} is not in Postgres"
            context.findings.defect(event.where, "row_missing", detail)
    _judge_messages(stored, events, context)
    _judge_evaluation(case, stored, told, context)


def _judge_cancellation(row: Row, told: list[ArchivedEvent], case: Case, context: Context) -> None:
    name = f"cancellations row {row['id']} of evaluation {case.evaluation_id}"
    mine = [e for e in told if getattr(e.event, "cancellation_id", None) == row["id"]]
    accepted = next((e for e in mine if isinstance(e.event, EvaluationCancelAccepted)), None)
    whole = context.reach.is_whole(context.events_topic)
    if accepted is None and whole and not context.is_young(row["accepted_at"]) and not _any_waiting(case):
        context.findings.defect(name, "row_without_event", "no event in the archive accepts it")
    if accepted is not None:
        _compare(name, row, accepted, _accepted_says(accepted.event), context)
    outcome = _OUTCOME_OF_PHASE.get(row["phase"])
    for event in mine:
        if isinstance(event.event, EvaluationCancelled | EvaluationCancelFailed):
            if outcome is None or not isinstance(event.event, outcome):
                context.findings.defect(name, "row_differs", f"is {row['phase']}, unlike {event.where}")
            else:
                _compare(name, row, event, _ended_says(event.event), context)


def _any_waiting(case: Case) -> bool:
    return case.stored is not None and any(m["waiting"] for m in case.stored.messages)


def _accepted_says(event: Any) -> dict[str, Any]:
    return {
        "evaluation_id": event.evaluation_id,
        "team_id": event.team_id,
        "status_before": event.status_before,
        "actor_kind": event.requested_by.kind,
        "actor_id": event.requested_by.id,
        "reason": event.reason,
        "requested_at": event.requested_at,
        "accepted_at": event.accepted_at,
    }


def _ended_says(event: EvaluationCancelled | EvaluationCancelFailed) -> dict[str, Any]:
    if isinstance(event, EvaluationCancelled):
        return {"ended_at": event.cancelled_at, "team_id": event.team_id, "accepted_at": event.accepted_at}
    return {"ended_at": event.failed_at, "last_error_code": event.code, "last_error_text": event.detail}


def _compare(name: str, row: Row, event: ArchivedEvent, says: dict[str, Any], context: Context) -> None:
    for column, told in says.items():
        if row[column] != told:
            detail = f"{column} is {row[column]!s}, and {told!s} at {event.where}"[:400]
            context.findings.defect(name, "row_differs", detail)


def _judge_messages(stored: StoredEvaluation, events: Mapping[str, ArchivedEvent], context: Context) -> None:
    known = set()
    for row in stored.messages:
        context.findings.counts["messages"] += 1
        known.add(str(row["event_id"]))
        name = f"messages row {row['sequence']} (event {row['event_id']}) of evaluation {row['evaluation_id']}"
        event = events.get(str(row["event_id"]))
        if event is None:
            late = not context.is_young(row["created_at"]) and not row["waiting"]
            if late and context.reach.is_whole(context.events_topic):
                context.findings.defect(name, "not_archived", f"{row['type']} was published and is not in the archive")
        elif (event.value, event.headers) != (row["value"], _published_headers(row)):
            context.findings.defect(name, "row_differs", f"holds another event than {event.where}")
    for identity, event in events.items():
        if identity not in known and context.messages_have(event.at) and not context.is_young(event.at):
            context.findings.defect(event.where, "row_missing", f"messages no longer holds event {identity}")


def _published_headers(row: Row) -> list[tuple[str, bytes]]:
    return [*unpack_headers(row["headers"]), ("ce_sequence", b"%d" % row["sequence"])]


def _judge_evaluation(case: Case, stored: StoredEvaluation, told: list[ArchivedEvent], context: Context) -> None:
    cancelled = [e for e in told if isinstance(e.event, EvaluationCancelled)]
    if not cancelled:
        return
    name, row, event = f"evaluation {case.evaluation_id}", stored.evaluation, cancelled[-1]
    if row is None:
        context.findings.notice(name, "evaluation_gone", f"was cancelled at {event.where}, and is no longer there")
    elif row["status"] != "cancelled":
        context.findings.defect(name, "status_differs", f"is {row['status']}, and was cancelled at {event.where}")
    elif row["team_id"] != getattr(event.event, "team_id", None):
        context.findings.defect(name, "status_differs", f"belongs to another team than at {event.where}")
