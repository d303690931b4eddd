"""Judges the events of one evaluation. Pure.

Each is what its command can have brought about, every acceptance has its one outcome or is open, and no event was told
in two ways.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from evaluation_cancel.consumer.audit.history.strict import ArchivedCommand, ArchivedEvent
from evaluation_cancel.consumer.audit.verify.context import Case, Context
from evaluation_cancel.consumer.audit.verify.redecide import VERSIONS
from evaluation_cancel.consumer.domain.decisions import DECISION_VERSION, Accepted, Asked, EvaluationSeen
from evaluation_cancel.consumer.sql.database import Row
from evaluation_cancel.schemas.events import (
    EvaluationCancelAccepted,
    EvaluationCancelFailed,
    EvaluationCancelled,
    event_id,
)

_OUTCOMES: Final = (EvaluationCancelled, EvaluationCancelFailed)


def judge_events(case: Case, context: Context) -> dict[str, ArchivedEvent]:
    """Gives the events by their ids, each once."""
    events: dict[str, ArchivedEvent] = {}
    commands: dict[str, list[ArchivedCommand]] = {}
    for command in case.archived.commands:
        commands.setdefault(command.envelope.id, []).append(command)
    for event in case.archived.events:
        context.findings.counts["events"] += 1
        first = events.setdefault(event.envelope.id, event)
        if first is not event:
            if (first.value, first.headers) != (event.value, event.headers):
                context.findings.defect(event.where, "event_differs", f"is told otherwise than at {first.where}")
            continue
        _judge_cause(event, commands.get(event.envelope.causationid or "", []), case, context)
    _judge_outcomes(list(events.values()), case, context)
    return events


def _judge_cause(event: ArchivedEvent, causes: list[ArchivedCommand], case: Case, context: Context) -> None:
    """The event's id follows from its command's source and id: nobody else's command can have brought it about."""
    rows = case.stored.commands if case.stored else ()
    causation = event.envelope.causationid or ""
    sources = {c.envelope.source for c in causes} | {r["source"] for r in rows if r["id"] == causation}
    if not sources:
        if context.reach.is_whole(context.commands_topic) and not context.is_young(event.at):
            context.findings.defect(event.where, "event_without_command", f"no command {causation!r} is known"[:300])
        return
    if event.envelope.id not in {str(event_id(source, causation, event.type)) for source in sources}:
        context.findings.defect(event.where, "event_id_wrong", "its id does not follow from the command it names")
    if isinstance(event.event, EvaluationCancelAccepted) and causes:
        _judge_acceptance(event, event.event, causes[0], context)


def _judge_acceptance(
    where: ArchivedEvent, event: EvaluationCancelAccepted, command: ArchivedCommand, context: Context
) -> None:
    """Decided again from the archive alone, for the time when the inbox has long forgotten."""
    asked = Asked(
        team_ids=frozenset(command.command.requested_by.team_ids),
        every_team=command.envelope.source in context.every_team_sources,
        expires_at=command.envelope.expirytime,
    )
    seen = EvaluationSeen(team_id=event.team_id, status=event.status_before)
    again = VERSIONS[DECISION_VERSION](asked, seen, event.accepted_at)
    if not isinstance(again, Accepted):
        detail = f"accepts {command.where}, which the rules decide otherwise: {getattr(again, 'code', 'joined')}"
        context.findings.defect(where.where, "decision_differs", detail)


def _judge_outcomes(events: list[ArchivedEvent], case: Case, context: Context) -> None:
    accepted = {e.event.cancellation_id: e for e in events if isinstance(e.event, EvaluationCancelAccepted)}
    outcomes: dict[UUID, list[ArchivedEvent]] = {}
    for event in events:
        if isinstance(event.event, _OUTCOMES):
            outcomes.setdefault(event.event.cancellation_id, []).append(event)
    for cancellation, told in outcomes.items():
        if len(told) > 1:
            detail = f"cancellation {cancellation} has a second outcome beside {told[0].where}"
            context.findings.defect(told[1].where, "two_outcomes", detail)
        whole = context.reach.is_whole(context.events_topic)
        if cancellation not in accepted and whole and not context.is_young(told[0].at):
            detail = f"cancellation {cancellation} ended and no event accepts it"
            context.findings.defect(told[0].where, "outcome_without_acceptance", detail)
    rows = {row["id"]: row for row in case.stored.cancellations} if case.stored else {}
    for cancellation, event in accepted.items():
        if cancellation not in outcomes:
            _judge_unended(event, cancellation, rows.get(cancellation), case, context)


def _judge_unended(event: ArchivedEvent, cancellation: UUID, row: Row | None, case: Case, context: Context) -> None:
    since = f"since {event.at:%Y-%m-%d %H:%M:%SZ}"
    where = f"evaluation {case.evaluation_id}"
    if case.stored is None or (row is not None and row["ended_at"] is None):
        context.findings.notice(
            where, "open", f"cancellation {cancellation}, accepted at {event.where}, is open {since}"
        )
    elif row is None:
        pass  # told by `rows.py` as a missing row
    elif not context.is_young(row["ended_at"]) and not _waits(case, cancellation):
        detail = (
            f"cancellation {cancellation}, accepted at {event.where}, ended as {row['phase']} and no event tells it"
        )
        context.findings.defect(where, "outcome_missing", detail)


def _waits(case: Case, cancellation: UUID) -> bool:
    """Whether an outcome is in the outbox still."""
    messages = case.stored.messages if case.stored else ()
    return any(m["waiting"] and str(cancellation).encode() in (m["value"] or b"") for m in messages)
