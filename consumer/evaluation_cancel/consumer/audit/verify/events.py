"""Checks the events of one evaluation. Pure.

Each event must follow from its command, each acceptance must have exactly one outcome or be open, and all copies of an
event must be equal.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from evaluation_cancel.consumer.audit.history.strict import ArchivedCommand, ArchivedEvent
from evaluation_cancel.consumer.audit.verify.context import Case, Context
from evaluation_cancel.consumer.audit.verify.redecide import VERSIONS
from evaluation_cancel.consumer.domain.audit_rows import CancellationRow
from evaluation_cancel.consumer.domain.decisions import DECISION_VERSION, Accepted, Asked, EvaluationSeen
from evaluation_cancel.schemas.events import (
    EvaluationCancelAccepted,
    EvaluationCancelFailed,
    EvaluationCancelled,
    event_id,
)

_OUTCOMES: Final = (EvaluationCancelled, EvaluationCancelFailed)


def check_events(case: Case, context: Context) -> dict[str, ArchivedEvent]:
    """Check the archived events. Returns each event once, by its id."""
    events: dict[str, ArchivedEvent] = {}
    commands: dict[str, list[ArchivedCommand]] = {}
    for command in case.archived.commands:
        commands.setdefault(command.envelope.id, []).append(command)
    for event in case.archived.events:
        context.findings.counts["events"] += 1
        first = events.setdefault(event.envelope.id, event)
        if first is event:
            _check_cause(event, commands.get(event.envelope.causationid or "", []), case, context)
        elif (first.value, first.headers) != (event.value, event.headers):
            context.findings.defect(event.where, "event_differs", f"differs from its copy at {first.where}")
    _check_outcomes(list(events.values()), case, context)
    return events


def _check_cause(event: ArchivedEvent, causes: list[ArchivedCommand], case: Case, context: Context) -> None:
    """Check the event's id, which follows from the source and id of its command."""
    rows = case.stored.commands if case.stored else ()
    causation = event.envelope.causationid or ""
    sources = {c.envelope.source for c in causes} | {row.source for row in rows if row.id == causation}
    if not sources:
        if context.reach.is_whole(context.commands_topic) and not context.is_young(event.at):
            context.findings.defect(event.where, "event_without_command", f"no command {causation!r} is known"[:300])
        return
    if event.envelope.id not in {str(event_id(source, causation, event.type)) for source in sources}:
        context.findings.defect(event.where, "event_id_wrong", "its id does not follow from the command it names")
    if isinstance(event.event, EvaluationCancelAccepted) and causes:
        _check_acceptance(event, event.event, causes[0], context)


def _check_acceptance(
    archived: ArchivedEvent, event: EvaluationCancelAccepted, command: ArchivedCommand, context: Context
) -> None:
    """Repeat the decision from the archive alone, which still works when the inbox row has expired."""
    requested = Asked(
        team_ids=frozenset(command.command.requested_by.team_ids),
        every_team=command.envelope.source in context.every_team_sources,
        expires_at=command.envelope.expirytime,
    )
    seen = EvaluationSeen(team_id=event.team_id, status=event.status_before)
    repeated = VERSIONS[DECISION_VERSION](requested, seen, event.accepted_at)
    if not isinstance(repeated, Accepted):
        detail = f"accepts {command.where}, which the rules decide otherwise: {getattr(repeated, 'code', 'joined')}"
        context.findings.defect(archived.where, "decision_differs", detail)


def _check_outcomes(events: list[ArchivedEvent], case: Case, context: Context) -> None:
    accepted = {e.event.cancellation_id: e for e in events if isinstance(e.event, EvaluationCancelAccepted)}
    outcomes: dict[UUID, list[ArchivedEvent]] = {}
    for event in events:
        if isinstance(event.event, _OUTCOMES):
            outcomes.setdefault(event.event.cancellation_id, []).append(event)
    for cancellation, found in outcomes.items():
        if len(found) > 1:
            detail = f"cancellation {cancellation} has a second outcome beside {found[0].where}"
            context.findings.defect(found[1].where, "two_outcomes", detail)
        whole = context.reach.is_whole(context.events_topic)
        if cancellation not in accepted and whole and not context.is_young(found[0].at):
            detail = f"cancellation {cancellation} ended and no event accepts it"
            context.findings.defect(found[0].where, "outcome_without_acceptance", detail)
    rows = {row.id: row for row in case.stored.cancellations} if case.stored else {}
    for cancellation, event in accepted.items():
        if cancellation not in outcomes:
            _check_without_outcome(event, cancellation, rows.get(cancellation), case, context)


def _check_without_outcome(
    event: ArchivedEvent, cancellation: UUID, row: CancellationRow | None, case: Case, context: Context
) -> None:
    where, name = f"evaluation {case.evaluation_id}", f"cancellation {cancellation}, accepted at {event.where},"
    if case.stored is None or (row is not None and row.ended_at is None):
        context.findings.notice(where, "open", f"{name} is open since {event.at:%Y-%m-%d %H:%M:%SZ}")
    elif row is None or row.ended_at is None:
        pass  # `rows.py` reports the missing row
    elif not context.is_young(row.ended_at) and not _is_waiting(case, cancellation):
        context.findings.defect(where, "outcome_missing", f"{name} ended as {row.phase} without an outcome event")


def _is_waiting(case: Case, cancellation: UUID) -> bool:
    """Whether an event of the cancellation is still in the outbox."""
    messages = case.stored.messages if case.stored else ()
    return any(m.waiting and str(cancellation).encode() in (m.value or b"") for m in messages)
