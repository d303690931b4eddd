"""Holds history against what Postgres says now: cancellations, messages, and the evaluation itself. Pure.

What a cancellation's row must say after an event is `audit/history/row_check.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from evaluation_cancel.consumer.audit.history.row_check import differences
from evaluation_cancel.consumer.audit.history.strict import ArchivedEvent
from evaluation_cancel.consumer.audit.verify.context import Case, Context, StoredEvaluation
from evaluation_cancel.consumer.domain.messages import unpack_headers
from evaluation_cancel.consumer.sql.database import Row
from evaluation_cancel.schemas.events import EvaluationArtifactsCleaned, EvaluationCancelAccepted, EvaluationCancelled


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
    for event in mine:
        for difference in differences(row, event):
            context.findings.defect(name, "row_differs", f"{difference} at {event.where}"[:400])
    cleaned = row["cleanup_state"] in ("done", "partial")
    if cleaned and whole and not context.is_young(row["ended_at"]) and not _tells_of_cleanup(case, row["id"], mine):
        context.findings.defect(name, "row_without_event", f"its cleanup is {row['cleanup_state']}, and no event tells")


def _any_waiting(case: Case) -> bool:
    return case.stored is not None and any(m["waiting"] for m in case.stored.messages)


def _tells_of_cleanup(case: Case, cancellation: UUID, told: list[ArchivedEvent]) -> bool:
    """In the archive, or in a message whose own fate is judged."""
    messages = case.stored.messages if case.stored else ()
    return any(isinstance(e.event, EvaluationArtifactsCleaned) for e in told) or any(
        m["type"] == "EvaluationArtifactsCleaned" and str(cancellation).encode() in (m["value"] or b"")
        for m in messages
    )


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
    name, row = f"evaluation {case.evaluation_id}", stored.evaluation
    event = next((e for e in reversed(told) if isinstance(e.event, EvaluationCancelled)), None)
    if event is None:
        # Without any cancellation it may have been cancelled before this service was there.
        phases = {c["phase"] for c in stored.cancellations}
        if row is not None and row["status"] == "cancelled" and phases and "cancelled" not in phases:
            context.findings.defect(name, "status_differs", "is cancelled, and none of its cancellations ended so")
    elif row is None:
        context.findings.notice(name, "evaluation_gone", f"was cancelled at {event.where}, and is no longer there")
    elif row["status"] != "cancelled":
        context.findings.defect(name, "status_differs", f"is {row['status']}, and was cancelled at {event.where}")
    elif row["team_id"] != getattr(event.event, "team_id", None):
        context.findings.defect(name, "status_differs", f"belongs to another team than at {event.where}")
