"""One evaluation's history judged: a sound one passes, each way of being unsound is told by its own code."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from evaluation_cancel.consumer.audit.verify.context import DeadLetterSeen
from evaluation_cancel.schemas.events import Event
from tests.support.audit.sound_history import (
    CANCELLATION,
    COMMANDS,
    EVENTS,
    FAILED,
    NOW,
    SoundHistory,
    cancellation_row,
    command,
    evaluation_row,
    event,
    inbox_row,
    message_row,
    rejection,
)
from tests.support.schemas.examples import ACCEPTED, CANCELLED, EVALUATION


@pytest.mark.parametrize("postgres", [True, False])
def test_a_sound_history_has_no_defect(postgres: bool) -> None:
    history = SoundHistory()
    history.postgres = postgres
    findings = history.check()
    assert findings.defects == []
    assert findings.notices == []


def no_decision(history: SoundHistory) -> None:
    history.commands.append(command(1, id="command-2"))


def id_used_again(history: SoundHistory) -> None:
    history.commands.append(command(1, reason="another"))


def dead_letter_of_other_bytes(history: SoundHistory) -> None:
    history.commands.append(command(1, id="command-2"))
    history.dead[COMMANDS, 0, 1] = DeadLetterSeen(where="dlq[0]@0", code="unstorable", sha256=b"other")


def two_outcomes(history: SoundHistory) -> None:
    history.events.append(event(FAILED, 2))


def outcome_alone(history: SoundHistory) -> None:
    del history.events[0]


def outcome_missing(history: SoundHistory) -> None:
    del history.events[1], history.messages[1]


def told_in_two_ways(history: SoundHistory) -> None:
    history.events.append(event(CANCELLED.model_copy(update={"reason": "changed"}), 2))


def nobodys_event(history: SoundHistory) -> None:
    history.events.append(event(rejection(), 2, cause="command-9"))


def invented_id(history: SoundHistory) -> None:
    history.events.append(event(rejection(), 2, identity=str(UUID(int=1))))


def rejected(history: SoundHistory, *told: Event) -> None:
    history.commands.append(command(1, id="command-2"))
    seen = {"decision": "rejected", "code": "already_cancelled", "status_seen": "cancelled", "fence_seen": CANCELLATION}
    history.rows.append(inbox_row(history.commands[1], **seen))
    history.events += [event(e, 2, cause="command-2") for e in told]
    history.messages += [message_row(e) for e in history.events[2:]]


def rejection_untold(history: SoundHistory) -> None:
    rejected(history)


def another_rejection_told(history: SoundHistory) -> None:
    rejected(history, rejection())


def accepted_for_a_stranger(history: SoundHistory) -> None:
    """Told by the archive alone, when the inbox has forgotten."""
    history.events[0] = event(ACCEPTED.model_copy(update={"team_id": "team-8"}), 0)
    history.postgres = False


def cancellation_of_nobody(history: SoundHistory) -> None:
    history.cancellations.append(cancellation_row(id=UUID(int=77)))


def failed_in_postgres(history: SoundHistory) -> None:
    history.cancellations[0]["phase"] = "failed"


def acceptance_opened_nothing(history: SoundHistory) -> None:
    history.cancellations[0]["command_id"] = "command-9"


JOINED: dict[str, Any] = {"decision": "joined", "fence_seen": CANCELLATION}


def row_of_no_record(history: SoundHistory) -> None:
    history.rows.append(inbox_row(command(50, id="command-50"), **JOINED))


def row_beyond_the_archive(history: SoundHistory) -> None:
    history.rows.append(inbox_row(command(500, id="command-500"), **JOINED))


def message_beyond_the_archive(history: SoundHistory) -> None:
    history.messages.append(message_row(event(rejection(), 9)))


def runs_on(history: SoundHistory) -> None:
    history.evaluation = evaluation_row("running")


CODES: dict[Callable[[SoundHistory], None], str] = {
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
def test_each_flaw_is_told_by_its_code(spoil: Callable[[SoundHistory], None], code: str) -> None:
    history = SoundHistory()
    spoil(history)
    assert code in {f.code for f in history.check().defects}


@pytest.mark.parametrize(
    "spoil",
    [no_decision, outcome_missing, outcome_alone, rejection_untold, row_beyond_the_archive, message_beyond_the_archive],
    ids=lambda v: v.__name__,
)
def test_what_is_young_may_still_be_on_its_way(spoil: Callable[[SoundHistory], None]) -> None:
    history = SoundHistory()
    spoil(history)
    history.lag = timedelta(days=1)
    assert history.check().defects == []


def test_an_open_cancellation_is_a_notice_that_says_since_when() -> None:
    history = SoundHistory()
    outcome_missing(history)
    history.cancellations[0] |= {"ended_at": None, "phase": "stopping"}
    history.evaluation = evaluation_row("running")
    findings = history.check()
    assert findings.defects == []
    assert [(f.code, "2026-11-24 12:00:00Z" in f.detail) for f in findings.notices] == [("open", True)]


def test_a_cancellation_that_is_gone_is_named_at_the_event_that_accepted_it() -> None:
    history = SoundHistory()
    history.cancellations.clear()
    assert ("row_missing", "events[0]@0") in {(f.code, f.where) for f in history.check().defects}


@pytest.mark.parametrize("change", [{"actor_id": "bob"}, {"ended_at": NOW}, {"team_id": "team-8"}, {"reason": "x"}])
def test_a_cancellation_that_says_otherwise_than_its_events_is_named(change: dict[str, Any]) -> None:
    history = SoundHistory()
    history.cancellations[0] |= change
    found = [f for f in history.check().defects if f.code == "row_differs"]
    assert found
    assert all(f.where == f"cancellations row {CANCELLATION} of evaluation {EVALUATION}" for f in found)


@pytest.mark.parametrize("change", [{"actor_id": "bob"}, {"raw_sha256": b""}, {"reason": "x"}, {"team_ids": "[]"}])
def test_an_inbox_row_that_says_otherwise_than_its_record_is_named(change: dict[str, Any]) -> None:
    history = SoundHistory()
    history.rows[0] |= change
    found = [f for f in history.check().defects if f.code == "row_differs"]
    assert [f.where for f in found] == [f"commands row (/tests, command-1) of evaluation {EVALUATION}"]


def test_what_waits_in_the_outbox_is_not_missing() -> None:
    history = SoundHistory()
    history.messages[1]["waiting"] = True
    del history.events[1]
    assert history.check().defects == []


def test_a_duplicate_needs_no_decision_of_its_own_and_a_joined_one_is_told_by_the_outcome() -> None:
    history = SoundHistory()
    history.postgres = False
    history.events[1] = event(
        CANCELLED.model_copy(update={"command_ids": ("command-1", "command-2"), "command_count": 2}), 1
    )
    history.commands += [command(1), command(2, id="command-2")]
    assert history.check().defects == []


def test_a_dead_letter_is_a_decision() -> None:
    history = SoundHistory()
    history.commands.append(command(1, id="command-2"))
    history.dead[COMMANDS, 0, 1] = DeadLetterSeen(
        where="dlq[0]@0", code="unstorable", sha256=history.commands[1].sha256
    )
    assert history.check().defects == []


def test_what_had_expired_before_the_archive_began_is_held_against_nobody() -> None:
    history = SoundHistory()
    history.reach.expired = {(COMMANDS, 0): ((0, 50),), (EVENTS, 0): ((0, 50),)}
    history.commands, history.events = [], history.events[1:]
    row_of_no_record(history)
    history.rows[1]["decision"] = None
    history.rows[1]["decided_at"] = None
    assert history.check().defects == []
