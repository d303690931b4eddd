"""One evaluation's history judged: a sound one passes, each way of being unsound is told by its own code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from consumer.audit.archived import ArchivedEvaluation, archived_command, archived_event
from consumer.audit.findings import Findings
from consumer.audit.judging import Case, Context, DeadLetterSeen, Reach, StoredEvaluation
from consumer.audit.verify import judge
from consumer.decisions import DECISION_VERSION
from consumer.messages import pack_headers
from schemas.events import EvaluationCancelFailed, EvaluationCancelRejected, Event, event_id
from schemas.kafka import encode_command, encode_event
from schemas.records import RawRecord
from tests.unit.schemas.examples import ACCEPTED, CANCELLED, COMMAND, EVALUATION, NOON, as_read, envelope

NOW = datetime(2026, 11, 24, 18, tzinfo=UTC)
AT = int(NOON.timestamp() * 1000)
CANCELLATION = ACCEPTED.cancellation_id
COMMANDS, EVENTS = "commands", "events"
FAILED = EvaluationCancelFailed(
    **{k: getattr(ACCEPTED, k) for k in ("evaluation_id", "cancellation_id", "team_id", "requested_by", "accepted_at")},
    code="owned_by",
    detail="JobSet",
    failed_at=NOON,
)


def placed(record: RawRecord, topic: str, offset: int) -> RawRecord:
    return replace(record, topic=topic, offset=offset, timestamp_ms=AT)


def command(offset: int, **changes: Any) -> Any:
    identity = changes.pop("id", "command-1")
    encoded = encode_command(envelope("CancelEvaluation", id=identity), COMMAND.model_copy(update=changes))
    return archived_command(placed(as_read(encoded), COMMANDS, offset), accept_bare=True)


def event(what: Event, offset: int, *, cause: str = "command-1", identity: str | None = None) -> Any:
    short = type(what).__name__
    made = envelope(
        short, id=identity or str(event_id("/tests", cause, short)), causationid=cause, sequence=offset, time=NOON
    )
    return archived_event(placed(as_read(encode_event(made, what)), EVENTS, offset))


def inbox_row(archived: Any, **changes: Any) -> dict[str, Any]:
    asked = archived.command
    topic, partition, offset = archived.position
    return {
        "source": archived.envelope.source,
        "id": archived.envelope.id,
        "evaluation_id": EVALUATION,
        "meaning": asked.meaning(),
        "actor_kind": "user",
        "actor_id": "ada",
        "team_ids": orjson.dumps(asked.requested_by.team_ids).decode(),
        "every_team": False,
        "reason": asked.reason,
        "cleanup_artifacts": False,
        "requested_at": None,
        "expires_at": None,
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "raw_sha256": archived.sha256,
        "received_at": NOON,
        "decision": "accepted",
        "code": None,
        "decided_at": NOON,
        "decision_version": DECISION_VERSION,
        "team_seen": "team-7",
        "status_seen": "running",
        "ended_seen": None,
        "fence_seen": None,
        "cancellation_id": CANCELLATION,
        **changes,
    }


def cancellation_row(**changes: Any) -> dict[str, Any]:
    return {
        "id": CANCELLATION,
        "evaluation_id": EVALUATION,
        "team_id": "team-7",
        "status_before": "running",
        "command_source": "/tests",
        "command_id": "command-1",
        "actor_kind": "user",
        "actor_id": "ada",
        "reason": None,
        "requested_at": None,
        "accepted_at": NOON,
        "ended_at": NOON,
        "phase": "cancelled",
        "last_error_code": None,
        "last_error_text": None,
        **changes,
    }


def message_row(archived: Any, **changes: Any) -> dict[str, Any]:
    headers = [h for h in archived.headers if h[0] != "ce_sequence"]
    archived.headers[:] = [*headers, ("ce_sequence", b"%d" % archived.position[2])]  # last, as the outbox sends it
    return {
        "sequence": archived.position[2],
        "event_id": UUID(archived.envelope.id),
        "type": archived.type,
        "evaluation_id": EVALUATION,
        "value": archived.value,
        "headers": pack_headers(headers),
        "created_at": NOON,
        "waiting": False,
        **changes,
    }


class Bench:
    """A sound history; tests make it unsound."""

    def __init__(self) -> None:
        self.commands = [command(0)]
        self.events = [event(ACCEPTED, 0), event(CANCELLED, 1)]
        self.rows = [inbox_row(self.commands[0])]
        self.cancellations = [cancellation_row()]
        self.messages = [message_row(e) for e in self.events]
        self.evaluation: dict[str, Any] | None = {"status": "cancelled", "team_id": "team-7"}
        self.dead: dict[tuple[str, int, int], DeadLetterSeen] = {}
        self.reach = Reach(next_offsets={(COMMANDS, 0): 100, (EVENTS, 0): 100})
        self.postgres = True
        self.lag = timedelta(hours=1)

    def judge(self) -> Findings:
        context = Context(
            findings=Findings(),
            now=NOW,
            lag=self.lag,
            reach=self.reach,
            dead=self.dead,
            commands_topic=COMMANDS,
            events_topic=EVENTS,
            inbox_kept=timedelta(days=30),
            messages_kept=timedelta(days=30),
        )
        stored = StoredEvaluation(
            evaluation=self.evaluation,
            commands=self.rows,
            cancellations=self.cancellations,
            messages=self.messages,
        )
        archived = ArchivedEvaluation(commands=self.commands, events=self.events)
        judge(Case(evaluation_id=EVALUATION, archived=archived, stored=stored if self.postgres else None), context)
        return context.findings


@pytest.mark.parametrize("postgres", [True, False])
def test_a_sound_history_has_no_defect(postgres: bool) -> None:
    bench = Bench()
    bench.postgres = postgres
    findings = bench.judge()
    assert findings.defects == []
    assert findings.notices == []


def no_decision(bench: Bench) -> None:
    bench.commands.append(command(1, id="command-2"))


def id_used_again(bench: Bench) -> None:
    bench.commands.append(command(1, reason="another"))


def dead_letter_of_other_bytes(bench: Bench) -> None:
    bench.commands.append(command(1, id="command-2"))
    bench.dead[COMMANDS, 0, 1] = DeadLetterSeen(where="dlq[0]@0", code="unstorable", sha256=b"other")


def two_outcomes(bench: Bench) -> None:
    bench.events.append(event(FAILED, 2))


def outcome_alone(bench: Bench) -> None:
    del bench.events[0]


def outcome_missing(bench: Bench) -> None:
    del bench.events[1], bench.messages[1]


def told_in_two_ways(bench: Bench) -> None:
    bench.events.append(event(CANCELLED.model_copy(update={"reason": "changed"}), 2))


def nobodys_event(bench: Bench) -> None:
    bench.events.append(event(rejection(), 2, cause="command-9"))


def invented_id(bench: Bench) -> None:
    bench.events.append(event(rejection(), 2, identity=str(UUID(int=1))))


def rejection(**changes: Any) -> EvaluationCancelRejected:
    return EvaluationCancelRejected(
        **{"evaluation_id": EVALUATION, "requested_by": ACCEPTED.requested_by, "code": "forbidden", **changes}
    )


def rejected(bench: Bench, *told: Event) -> None:
    bench.commands.append(command(1, id="command-2"))
    seen = {"decision": "rejected", "code": "already_cancelled", "status_seen": "cancelled", "fence_seen": CANCELLATION}
    bench.rows.append(inbox_row(bench.commands[1], **seen))
    bench.events += [event(e, 2, cause="command-2") for e in told]
    bench.messages += [message_row(e) for e in bench.events[2:]]


def rejection_untold(bench: Bench) -> None:
    rejected(bench)


def another_rejection_told(bench: Bench) -> None:
    rejected(bench, rejection())


def accepted_for_a_stranger(bench: Bench) -> None:
    """Told by the archive alone, when the inbox has forgotten."""
    bench.events[0] = event(ACCEPTED.model_copy(update={"team_id": "team-8"}), 0)
    bench.postgres = False


def cancellation_of_nobody(bench: Bench) -> None:
    bench.cancellations.append(cancellation_row(id=UUID(int=77)))


def failed_in_postgres(bench: Bench) -> None:
    bench.cancellations[0]["phase"] = "failed"


def acceptance_opened_nothing(bench: Bench) -> None:
    bench.cancellations[0]["command_id"] = "command-9"


JOINED: dict[str, Any] = {"decision": "joined", "fence_seen": CANCELLATION}


def row_of_no_record(bench: Bench) -> None:
    bench.rows.append(inbox_row(command(50, id="command-50"), **JOINED))


def row_beyond_the_archive(bench: Bench) -> None:
    bench.rows.append(inbox_row(command(500, id="command-500"), **JOINED))


def message_beyond_the_archive(bench: Bench) -> None:
    bench.messages.append(message_row(event(rejection(), 9)))


def runs_on(bench: Bench) -> None:
    bench.evaluation = {"status": "running", "team_id": "team-7"}


CODES: dict[Callable[[Bench], None], str] = {
    no_decision: "undecided",
    id_used_again: "undecided",
    dead_letter_of_other_bytes: "dead_letter_differs",
    two_outcomes: "two_outcomes",
    outcome_alone: "outcome_without_acceptance",
    outcome_missing: "outcome_missing",
    told_in_two_ways: "event_differs",
    nobodys_event: "event_without_command",
    invented_id: "event_id_wrong",
    rejection_untold: "event_missing",
    another_rejection_told: "event_differs",
    accepted_for_a_stranger: "decision_differs",
    cancellation_of_nobody: "row_without_event",
    failed_in_postgres: "row_differs",
    acceptance_opened_nothing: "row_missing",
    row_of_no_record: "row_without_record",
    row_beyond_the_archive: "not_archived",
    message_beyond_the_archive: "not_archived",
    runs_on: "status_differs",
}


@pytest.mark.parametrize(("spoil", "code"), CODES.items(), ids=lambda v: getattr(v, "__name__", v))
def test_each_flaw_is_told_by_its_code(spoil: Callable[[Bench], None], code: str) -> None:
    bench = Bench()
    spoil(bench)
    assert code in {f.code for f in bench.judge().defects}


@pytest.mark.parametrize(
    "spoil",
    [no_decision, outcome_missing, outcome_alone, rejection_untold, row_beyond_the_archive, message_beyond_the_archive],
    ids=lambda v: v.__name__,
)
def test_what_is_young_may_still_be_on_its_way(spoil: Callable[[Bench], None]) -> None:
    bench = Bench()
    spoil(bench)
    bench.lag = timedelta(days=1)
    assert bench.judge().defects == []


def test_an_open_cancellation_is_a_notice_that_says_since_when() -> None:
    bench = Bench()
    outcome_missing(bench)
    bench.cancellations[0] |= {"ended_at": None, "phase": "stopping"}
    bench.evaluation = {"status": "running", "team_id": "team-7"}
    findings = bench.judge()
    assert findings.defects == []
    assert [(f.code, "2026-11-24 12:00:00Z" in f.detail) for f in findings.notices] == [("open", True)]


def test_a_cancellation_that_is_gone_is_named_at_the_event_that_accepted_it() -> None:
    bench = Bench()
    bench.cancellations.clear()
    assert ("row_missing", "events[0]@0") in {(f.code, f.where) for f in bench.judge().defects}


@pytest.mark.parametrize("change", [{"actor_id": "bob"}, {"ended_at": NOW}, {"team_id": "team-8"}, {"reason": "x"}])
def test_a_cancellation_that_says_otherwise_than_its_events_is_named(change: dict[str, Any]) -> None:
    bench = Bench()
    bench.cancellations[0] |= change
    found = [f for f in bench.judge().defects if f.code == "row_differs"]
    assert found
    assert all(f.where == f"cancellations row {CANCELLATION} of evaluation {EVALUATION}" for f in found)


@pytest.mark.parametrize("change", [{"actor_id": "bob"}, {"raw_sha256": b""}, {"reason": "x"}, {"team_ids": "[]"}])
def test_an_inbox_row_that_says_otherwise_than_its_record_is_named(change: dict[str, Any]) -> None:
    bench = Bench()
    bench.rows[0] |= change
    found = [f for f in bench.judge().defects if f.code == "row_differs"]
    assert [f.where for f in found] == [f"commands row (/tests, command-1) of evaluation {EVALUATION}"]


def test_what_waits_in_the_outbox_is_not_missing() -> None:
    bench = Bench()
    bench.messages[1]["waiting"] = True
    del bench.events[1]
    assert bench.judge().defects == []


def test_a_duplicate_needs_no_decision_of_its_own_and_a_joined_one_is_told_by_the_outcome() -> None:
    bench = Bench()
    bench.postgres = False
    bench.events[1] = event(
        CANCELLED.model_copy(update={"command_ids": ("command-1", "command-2"), "command_count": 2}), 1
    )
    bench.commands += [command(1), command(2, id="command-2")]
    assert bench.judge().defects == []


def test_a_dead_letter_is_a_decision() -> None:
    bench = Bench()
    bench.commands.append(command(1, id="command-2"))
    bench.dead[COMMANDS, 0, 1] = DeadLetterSeen(where="dlq[0]@0", code="unstorable", sha256=bench.commands[1].sha256)
    assert bench.judge().defects == []


def test_what_had_expired_before_the_archive_began_is_held_against_nobody() -> None:
    bench = Bench()
    bench.reach.expired = {(COMMANDS, 0): ((0, 50),), (EVENTS, 0): ((0, 50),)}
    bench.commands, bench.events = [], bench.events[1:]
    row_of_no_record(bench)
    bench.rows[1]["decision"] = None
    bench.rows[1]["decided_at"] = None
    assert bench.judge().defects == []
