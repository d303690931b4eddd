"""The timeline of one evaluation: entries from rows and records, each with its sources. Pure.

`explain.py` reads the rows and records, `view.py` prints the entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from evaluation_cancel.consumer.audit.history.facts import facts_of
from evaluation_cancel.consumer.audit.history.row_check import evidence_of, json_object
from evaluation_cancel.consumer.audit.history.strict import place, position_of, time_of
from evaluation_cancel.consumer.audit.history.wording import (
    describe,
    describe_evidence,
    describe_pod,
    describe_request,
    plain,
    title,
)
from evaluation_cancel.consumer.domain.audit_rows import (
    CancellationRow,
    CommandRow,
    ErrorRow,
    MessageRow,
    StoredEvaluation,
)
from evaluation_cancel.schemas.wire.records import RawRecord

_PODS: Final = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One line of the timeline."""

    at: datetime
    kind: str
    """Such as `decided` or `pod gone`; docs/audit.md lists the kinds."""
    detail: str
    sources: tuple[str, ...]
    """The positions, objects and rows that say so."""


def timeline(stored: StoredEvaluation | None, records: Mapping[RawRecord, Sequence[str]]) -> list[Entry]:
    """All entries in the order of time. `records` have the sources from which each was read."""
    inbox = {} if stored is None else {row.position: row for row in stored.commands}
    entries = []
    for record, sources in records.items():
        row = inbox.pop(position_of(record), None)
        entries.append(_record_entry(record, [*sources, *(() if row is None else (_commands_row(row),))]))
    # The inbox still has the commands whose records were not read.
    entries += [_unread_command_entry(row) for row in inbox.values()]
    if stored is not None:
        entries += _row_entries(stored)
    return sorted(entries, key=lambda entry: entry.at)


def _record_entry(record: RawRecord, sources: Sequence[str]) -> Entry:
    facts = facts_of(record)
    detail = describe(facts)
    if facts.sequence:
        detail += f" (sequence {plain(facts.sequence, 20)})"
    return Entry(at=time_of(record), kind=title(facts), detail=detail, sources=(place(position_of(record)), *sources))


def _unread_command_entry(row: CommandRow) -> Entry:
    detail = describe_request(row.actor_kind, row.actor_id, row.reason, cleanup=row.cleanup_artifacts)
    sources = (f"{place(row.position)} (not read)", _commands_row(row))
    return Entry(at=row.received_at, kind="cancel", detail=plain(detail), sources=sources)


def _commands_row(row: CommandRow) -> str:
    return f"table commands ({row.source}, {row.id})"


def _row_entries(stored: StoredEvaluation) -> Iterator[Entry]:
    for command in stored.commands:
        yield _decision_entry(command)
    errors: dict[UUID, list[ErrorRow]] = {}
    for error in stored.errors:
        errors.setdefault(error.cancellation_id, []).append(error)
    for cancellation in stored.cancellations:
        yield from _cancellation_entries(cancellation, errors.get(cancellation.id, ()))
    for message in stored.messages:
        yield _message_entry(message)
    for report in stored.held_reports:
        applied = "" if report.applied_at is None else f"; applied at {report.applied_at:%H:%M:%S.%f}"
        detail = f"{report.status} was reported and held back behind the open cancellation{applied}"
        yield Entry(at=report.reported_at, kind="report held", detail=plain(detail), sources=("table held_reports",))


def _decision_entry(row: CommandRow) -> Entry:
    sources = (_commands_row(row),)
    if row.decision is None or row.decided_at is None:
        detail = "waits for its evaluation's row, which another session holds"
        return Entry(at=row.received_at, kind="undecided", detail=detail, sources=sources)
    seen = "no evaluation" if row.team_seen is None else f"{row.status_seen} of team {row.team_seen}"
    fence = "no fence" if row.fence_seen is None else f"cancellation {row.fence_seen}"
    decision = row.decision if row.code is None else f"{row.decision} ({row.code})"
    teams = "every team" if row.every_team else ", ".join(orjson.loads(row.team_ids)) or "no team"
    detail = f"{decision}: saw {seen}, {fence}; acting for {teams}; rules version {row.decision_version}"
    return Entry(at=row.decided_at, kind="decided", detail=plain(detail), sources=sources)


def _cancellation_entries(row: CancellationRow, errors: Sequence[ErrorRow]) -> Iterator[Entry]:
    sources = (f"table cancellations ({row.id})",)
    request = describe_request(row.actor_kind, row.actor_id, row.reason, cleanup=row.wants_cleanup)
    opened = f"cancellation {row.id} {request}; was {row.status_before}"
    yield Entry(at=row.accepted_at, kind="opened", detail=plain(opened), sources=sources)
    if row.intent_at is not None:
        detail = f"from here on the Job may be deleted; cluster {row.cluster}"
        yield Entry(at=row.intent_at, kind="deleting", detail=plain(detail), sources=sources)
    for error in errors:
        more = "" if error.times == 1 else f"; the latest of {error.times} since the ones before"
        detail = f"attempt {error.attempt}: {error.code}: {error.detail}{more}"
        where = f"table cancellation_errors ({row.id}, {error.number})"
        yield Entry(at=error.at, kind="error", detail=plain(detail), sources=(where,))
    yield from _pod_entries(json_object(row.evidence), sources)
    if row.ended_at is not None:
        detail = f"{_end(row)}; attempts: {row.attempts}; commands that share it: {1 + row.joined}"
        yield Entry(at=row.ended_at, kind="ended", detail=plain(detail), sources=sources)
    else:
        detail = f"{row.phase}; attempts: {row.attempts}; this is when the next one is due"
        yield Entry(at=row.next_attempt_at, kind="open", detail=detail, sources=sources)


def _end(row: CancellationRow) -> str:
    if row.phase == "failed":
        return f"failed: {row.last_error_code}: {row.last_error_text}"
    evidence = evidence_of(row)
    return f"{row.phase}: {describe_evidence(None if evidence is None else evidence.model_dump())}"


def _pod_entries(evidence: Mapping[str, Any], sources: tuple[str, ...]) -> Iterator[Entry]:
    pods = evidence.get("pods") or ()
    for pod in pods[:_PODS]:
        for column, kind in (("first_seen_at", "pod seen"), ("gone_at", "pod gone")):
            if pod.get(column):
                at = datetime.fromisoformat(pod[column])
                detail = describe_pod(pod) if kind == "pod gone" else f"{pod.get('name')} ({pod.get('uid')})"
                yield Entry(at=at, kind=kind, detail=plain(detail), sources=sources)
    hidden = max(evidence.get("pod_count") or 0, len(pods)) - min(len(pods), _PODS)
    if hidden > 0 and pods:
        last = datetime.fromisoformat(pods[-1].get("gone_at") or pods[-1]["first_seen_at"])
        yield Entry(at=last, kind="pod gone", detail=f"and {hidden} more pods", sources=sources)


def _message_entry(row: MessageRow) -> Entry:
    state = "published"
    if row.waiting:
        state = "waits to be published" if row.parked_for is None else f"parked: {row.parked_for}"
    detail = f"{row.type}, sequence {row.sequence}, {state}"
    return Entry(
        at=row.created_at, kind="recorded", detail=plain(detail), sources=(f"table messages ({row.event_id})",)
    )


def artifacts(stored: StoredEvaluation | None, records: Iterable[RawRecord]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """State and report of each requested cleanup: from Postgres, or from events if Postgres was not read."""
    if stored is not None:
        for row in stored.cancellations:
            if row.wants_cleanup:
                error = row.cleanup_error_code and f"{row.cleanup_error_code}: {row.cleanup_error_text}"
                yield row.cleanup_state, {**json_object(row.cleanup_report), "last_error": error}
        return
    cleanups = {facts.id: facts for facts in map(facts_of, records) if facts.type == "EvaluationArtifactsCleaned"}
    for facts in cleanups.values():
        yield str(facts.data.get("state")), facts.data
