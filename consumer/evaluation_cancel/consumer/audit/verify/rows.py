"""Compares the archived events of one evaluation with Postgres: cancellations, messages, and the evaluation. Pure.

`audit/history/row_check.py` compares a cancellation with a single event.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from evaluation_cancel.consumer.audit.history.row_check import differences
from evaluation_cancel.consumer.audit.history.strict import ArchivedEvent
from evaluation_cancel.consumer.audit.verify.context import Case, Context
from evaluation_cancel.consumer.domain.audit_rows import CancellationRow, MessageRow, StoredEvaluation
from evaluation_cancel.consumer.domain.messages import unpack_headers
from evaluation_cancel.schemas.events import EvaluationArtifactsCleaned, EvaluationCancelAccepted, EvaluationCancelled


def check_rows(case: Case, context: Context, events: Mapping[str, ArchivedEvent]) -> None:
    """Check the rows of an evaluation. `events` are the archived events by id."""
    stored = case.stored
    if stored is None:
        return
    archived = list(events.values())
    for row in stored.cancellations:
        context.findings.counts["cancellations"] += 1
        _check_cancellation(row, stored, archived, context)
    known = {row.id for row in stored.cancellations}
    for event in archived:
        if isinstance(event.event, EvaluationCancelAccepted) and event.event.cancellation_id not in known:
            detail = f"cancellation {event.event.cancellation_id} of evaluation {case.evaluation_id} is not in Postgres"
            context.findings.defect(event.where, "row_missing", detail)
    _check_messages(stored, events, context)
    _check_evaluation(case.evaluation_id, stored, archived, context)


def _check_cancellation(
    row: CancellationRow, stored: StoredEvaluation, archived: list[ArchivedEvent], context: Context
) -> None:
    name = f"cancellations row {row.id} of evaluation {row.evaluation_id}"
    events = [e for e in archived if getattr(e.event, "cancellation_id", None) == row.id]
    for event in events:
        for difference in differences(row, event):
            context.findings.defect(name, "row_differs", f"{difference} at {event.where}"[:400])
    if not context.reach.is_whole(context.events_topic):
        return
    is_accepted = any(isinstance(e.event, EvaluationCancelAccepted) for e in events)
    if not is_accepted and not context.is_young(row.accepted_at) and not any(m.waiting for m in stored.messages):
        context.findings.defect(name, "row_without_event", "no event in the archive accepts it")
    is_unpublished = row.cleanup_state in ("done", "partial") and not _has_cleanup_event(row.id, stored, events)
    if is_unpublished and (row.ended_at is None or not context.is_young(row.ended_at)):
        context.findings.defect(name, "row_without_event", f"its cleanup is {row.cleanup_state}, without an event")


def _has_cleanup_event(cancellation: UUID, stored: StoredEvaluation, events: list[ArchivedEvent]) -> bool:
    """Whether the archive or the messages have it. Whether a message is archived is checked in `_check_messages`."""
    return any(isinstance(e.event, EvaluationArtifactsCleaned) for e in events) or any(
        m.type == "EvaluationArtifactsCleaned" and str(cancellation).encode() in (m.value or b"")
        for m in stored.messages
    )


def _check_messages(stored: StoredEvaluation, events: Mapping[str, ArchivedEvent], context: Context) -> None:
    known = set()
    for row in stored.messages:
        context.findings.counts["messages"] += 1
        known.add(str(row.event_id))
        name = f"messages row {row.sequence} (event {row.event_id}) of evaluation {row.evaluation_id}"
        event = events.get(str(row.event_id))
        if event is None:
            is_late = not context.is_young(row.created_at) and not row.waiting
            if is_late and context.reach.is_whole(context.events_topic):
                context.findings.defect(name, "not_archived", f"{row.type} was published and is not in the archive")
        elif (event.value, event.headers) != (row.value, _published_headers(row)):
            context.findings.defect(name, "row_differs", f"holds another event than {event.where}")
    for identity, event in events.items():
        if identity not in known and context.messages_have(event.at) and not context.is_young(event.at):
            context.findings.defect(event.where, "row_missing", f"messages no longer holds event {identity}")


def _published_headers(row: MessageRow) -> list[tuple[str, bytes]]:
    return [*unpack_headers(row.headers), ("ce_sequence", b"%d" % row.sequence)]


def _check_evaluation(
    evaluation_id: UUID, stored: StoredEvaluation, archived: list[ArchivedEvent], context: Context
) -> None:
    name, row = f"evaluation {evaluation_id}", stored.evaluation
    event = next((e for e in reversed(archived) if isinstance(e.event, EvaluationCancelled)), None)
    if event is None:
        # An evaluation without any cancellation may have been cancelled before this service was installed.
        phases = {c.phase for c in stored.cancellations}
        if row is not None and row.status == "cancelled" and phases and "cancelled" not in phases:
            context.findings.defect(name, "status_differs", "is cancelled, and none of its cancellations ended so")
    elif row is None:
        context.findings.notice(name, "evaluation_gone", f"was cancelled at {event.where} and is no longer there")
    elif row.status != "cancelled":
        context.findings.defect(name, "status_differs", f"is {row.status}, and was cancelled at {event.where}")
    elif row.team_id != getattr(event.event, "team_id", None):
        context.findings.defect(name, "status_differs", f"belongs to another team than at {event.where}")
