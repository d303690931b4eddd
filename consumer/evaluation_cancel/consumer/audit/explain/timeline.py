"""One evaluation's story: what rows and records tell, each thing with its source.

Pure; where rows and records come from is `explain.py`, how the story looks `view.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from evaluation_cancel.consumer.audit.history.facts import facts_of
from evaluation_cancel.consumer.audit.history.row_check import evidence_of
from evaluation_cancel.consumer.audit.history.strict import place, position_of, time_of
from evaluation_cancel.consumer.audit.history.wording import asked, describe, plain, proof, title
from evaluation_cancel.consumer.sql.database import Row
from evaluation_cancel.schemas.wire.records import RawRecord

_PODS: Final = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One thing that happened, and where it is written."""

    at: datetime
    what: str
    detail: str
    sources: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredStory:
    """What Postgres has of one evaluation."""

    evaluation: Row | None = None
    commands: Sequence[Row] = ()
    cancellations: Sequence[Row] = ()
    errors: Sequence[Row] = ()
    messages: Sequence[Row] = ()
    held_reports: Sequence[Row] = ()

    @property
    def begins_at(self) -> datetime | None:
        """The earliest moment that any row tells of. A command may say that it was asked for long before."""
        moments = [r["received_at"] for r in self.commands] + [r["accepted_at"] for r in self.cancellations]
        moments += [r["requested_at"] for r in self.commands if r["requested_at"] is not None]
        return min((*moments, *(r["created_at"] for r in self.messages)), default=None)


def tell(stored: StoredStory | None, records: Mapping[RawRecord, Sequence[str]]) -> list[Entry]:
    """The story in the order of time. `records`: each with the places it was read from."""
    inbox = {} if stored is None else {(r["topic"], r["partition"], r["offset"]): r for r in stored.commands}
    entries = []
    for record, sources in records.items():
        row = inbox.pop(position_of(record), None)
        entries.append(_of_record(record, [*sources, *(() if row is None else (_commands_row(row),))]))
    # Of what no record is left, the inbox still knows who asked and why.
    entries += [_asked(row) for row in inbox.values()]
    if stored is not None:
        entries += _of_rows(stored)
    return sorted(entries, key=lambda entry: entry.at)


def _of_record(record: RawRecord, sources: Sequence[str]) -> Entry:
    facts = facts_of(record)
    detail = describe(facts)
    if facts.sequence:
        detail += f" (sequence {plain(facts.sequence, 20)})"
    return Entry(at=time_of(record), what=title(facts), detail=detail, sources=(place(position_of(record)), *sources))


def _asked(row: Row) -> Entry:
    where = place((row["topic"], row["partition"], row["offset"]))
    detail = asked(row["actor_kind"], row["actor_id"], row["reason"], cleanup=row["cleanup_artifacts"])
    return Entry(
        at=row["received_at"], what="cancel", detail=plain(detail), sources=(f"{where} (not read)", _commands_row(row))
    )


def _commands_row(row: Row) -> str:
    return f"table commands ({row['source']}, {row['id']})"


def _of_rows(stored: StoredStory) -> Iterator[Entry]:
    for row in stored.commands:
        yield _of_command(row)
    errors: dict[Any, list[Row]] = {}
    for row in stored.errors:
        errors.setdefault(row["cancellation_id"], []).append(row)
    for row in stored.cancellations:
        yield from _of_cancellation(row, errors.get(row["id"], ()))
    for row in stored.messages:
        yield _of_message(row)
    for row in stored.held_reports:
        applied = "" if row["applied_at"] is None else f"; applied at {row['applied_at']:%H:%M:%S.%f}"
        detail = f"{row['status']} was reported and held back behind the open cancellation{applied}"
        yield Entry(at=row["reported_at"], what="report held", detail=plain(detail), sources=("table held_reports",))


def _of_command(row: Row) -> Entry:
    source = (_commands_row(row),)
    if row["decision"] is None:
        detail = "waits for its evaluation's row, which another session holds"
        return Entry(at=row["received_at"], what="undecided", detail=detail, sources=source)
    seen = "no evaluation" if row["team_seen"] is None else f"{row['status_seen']} of team {row['team_seen']}"
    fence = "no fence" if row["fence_seen"] is None else f"cancellation {row['fence_seen']}"
    decision = row["decision"] if row["code"] is None else f"{row['decision']} ({row['code']})"
    teams = "every team" if row["every_team"] else ", ".join(orjson.loads(row["team_ids"])) or "no team"
    detail = f"{decision}: saw {seen}, {fence}; acting for {teams}; rules version {row['decision_version']}"
    return Entry(at=row["decided_at"], what="decided", detail=plain(detail), sources=source)


def _of_cancellation(row: Row, errors: Sequence[Row]) -> Iterator[Entry]:
    source = (f"table cancellations ({row['id']})",)
    wish = asked(row["actor_kind"], row["actor_id"], row["reason"], cleanup=row["cleanup_state"] != "not_requested")
    opened = f"cancellation {row['id']} {wish}; was {row['status_before']}"
    yield Entry(at=row["accepted_at"], what="opened", detail=plain(opened), sources=source)
    if row["intent_at"] is not None:
        detail = f"from here on the Job may be deleted; cluster {row['cluster']}"
        yield Entry(at=row["intent_at"], what="deleting", detail=plain(detail), sources=source)
    for error in errors:
        more = "" if error["times"] == 1 else f"; the latest of {error['times']} since the ones before"
        detail = f"attempt {error['attempt']}: {error['code']}: {error['detail']}{more}"
        where = f"table cancellation_errors ({row['id']}, {error['number']})"
        yield Entry(at=error["at"], what="error", detail=plain(detail), sources=(where,))
    yield from _of_evidence(_json(row["evidence"]), source)
    if row["ended_at"] is not None:
        detail = f"{_end(row)}; attempts: {row['attempts']}; commands that share it: {1 + row['joined']}"
        yield Entry(at=row["ended_at"], what="ended", detail=plain(detail), sources=source)
    else:
        detail = f"{row['phase']}; attempts: {row['attempts']}; this is when the next one is due"
        yield Entry(at=row["next_attempt_at"], what="open", detail=detail, sources=source)


def _end(row: Row) -> str:
    if row["phase"] == "failed":
        return f"failed: {row['last_error_code']}: {row['last_error_text']}"
    evidence = evidence_of(row)
    return f"{row['phase']}: {proof(None if evidence is None else evidence.model_dump())}"


def _of_evidence(evidence: Mapping[str, Any], source: tuple[str, ...]) -> Iterator[Entry]:
    pods = evidence.get("pods") or ()
    for pod in pods[:_PODS]:
        for moment, what in (("first_seen_at", "pod seen"), ("gone_at", "pod gone")):
            if pod.get(moment):
                at = datetime.fromisoformat(pod[moment])
                yield Entry(at=at, what=what, detail=plain(f"{pod.get('name')} ({pod.get('uid')})"), sources=source)
    hidden = max(evidence.get("pod_count") or 0, len(pods)) - min(len(pods), _PODS)
    if hidden > 0 and pods:
        last = datetime.fromisoformat(pods[-1].get("gone_at") or pods[-1]["first_seen_at"])
        yield Entry(at=last, what="pod gone", detail=f"and {hidden} more pods", sources=source)


def _of_message(row: Row) -> Entry:
    state = "published"
    if row["waiting"]:
        state = "waits to be published" if row["parked_for"] is None else f"parked: {row['parked_for']}"
    detail = f"{row['type']}, sequence {row['sequence']}, {state}"
    return Entry(
        at=row["created_at"], what="recorded", detail=plain(detail), sources=(f"table messages ({row['event_id']})",)
    )


def artifacts(stored: StoredStory | None, records: Iterable[RawRecord]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """State and report of each cleanup that was wished for; from the events where Postgres could not be asked."""
    if stored is not None:
        for row in stored.cancellations:
            if row["cleanup_state"] != "not_requested":
                error = row["cleanup_error_code"] and f"{row['cleanup_error_code']}: {row['cleanup_error_text']}"
                yield row["cleanup_state"], {**_json(row["cleanup_report"]), "last_error": error}
        return
    told = {facts.id: facts for facts in map(facts_of, records) if facts.type == "EvaluationArtifactsCleaned"}
    for facts in told.values():
        yield str(facts.data.get("state")), facts.data


def _json(text: str | None) -> Mapping[str, Any]:
    found = {} if text is None else orjson.loads(text)
    return found if isinstance(found, dict) else {}
