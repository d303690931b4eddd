"""The demo's checks: each expectation that is broken is named, and the command then ends with 1."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from deploy.local.demo import story
from deploy.local.demo.cases import ACCEPTED, CANCELLED, STOPPED, Case, Expected, Sent
from deploy.local.demo.checks import check_at_rest, check_case, check_dead_letters, check_events_of_others, check_kill
from deploy.local.demo.closing import show_checks, show_table
from deploy.local.demo.facts import Facts
from deploy.local.demo.kill import Killed
from deploy.local.demo.screen import Screen
from deploy.local.play import up
from deploy.local.play.listener import Heard, Listener
from deploy.local.play.orchestrator import Evaluation
from evaluation_cancel.schemas.envelope import TYPE_PREFIX, Envelope
from evaluation_cancel.schemas.events import EVENT_TYPES, event_id
from evaluation_cancel.schemas.wire.codec import RawRecord

NOW = datetime(2026, 1, 1, tzinfo=UTC)
COMMAND = Sent(source="/demo", id="7", at=0.0)


@pytest.fixture
def case() -> Case:
    expected = Expected(status="cancelled", decisions=("accepted",), events=STOPPED)
    return Case(name="one", evaluation=Evaluation(id=uuid4(), team="blue"), expected=expected, sent=[COMMAND])


@pytest.fixture
def facts(case: Case) -> Facts:
    """As they are when all went well."""
    identity = case.evaluation.id
    return Facts(
        statuses={identity: "cancelled"},
        commands={identity: [{"source": "/demo", "id": "7", "decision": "accepted", "code": None}]},
        cancellations={identity: [{"phase": "cancelled", "attempts": 2}]},
        waiting={"outbox": 0},
        jobs={},
        pods={},
        keys={identity: [case.evaluation.request_key]},
        uploads={},
    )


def heard(evaluation: UUID, kind: str, sequence: int, *, command: str = "7", extra: bytes = b"") -> Heard:
    actor = {"kind": "user", "id": "ada"}
    data: dict[str, Any] = {"evaluation_id": evaluation, "cancellation_id": uuid4(), "team_id": "blue"}
    data |= {"status_before": "running", "requested_by": actor, "accepted_at": NOW}
    if kind == CANCELLED:
        data |= {"cancelled_at": NOW, "evidence": {"job": "not created"}}
    identity = str(event_id("/demo", command, kind))
    return Heard(
        at=1.0,
        record=RawRecord(topic="t", partition=0, offset=0, timestamp_ms=0, key=None, value=b"{}" + extra, headers=()),
        envelope=Envelope(id=identity, source="s", type=TYPE_PREFIX + kind, sequence=sequence),
        event=EVENT_TYPES[kind](**data),
    )


@pytest.fixture
def events(case: Case) -> list[Heard]:
    return [heard(case.evaluation.id, ACCEPTED, 1), heard(case.evaluation.id, CANCELLED, 2)]


def test_a_case_in_which_all_went_well_is_as_told(case: Case, facts: Facts, events: list[Heard]) -> None:
    assert check_case(case, facts, events).wrong == ()


BROKEN: dict[str, Callable[[Facts, Any], Facts]] = {
    "status": lambda facts, one: replace(facts, statuses={one.id: "running"}),
    "decided": lambda facts, one: replace(
        facts, commands={one.id: [{"source": "/demo", "id": "7", "decision": "rejected", "code": "forbidden"}]}
    ),
    "inbox": lambda facts, one: replace(
        facts, commands={one.id: [{"source": "/demo", "id": "8", "decision": "accepted", "code": None}]}
    ),
    "cancellations": lambda facts, one: replace(facts, cancellations={one.id: [{"phase": "failed", "attempts": 1}]}),
    "Jobs": lambda facts, one: replace(facts, jobs={one.id: 1}),
    "pods": lambda facts, one: replace(facts, pods={one.id: 1}),
    "artifacts": lambda facts, one: replace(facts, keys={one.id: [one.request_key, one.prefix + "left"]}),
    "request file": lambda facts, _one: replace(facts, keys={}),
    "uploads": lambda facts, one: replace(facts, uploads={one.id: 1}),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_fact_that_is_otherwise_is_named(what: str, case: Case, facts: Facts, events: list[Heard]) -> None:
    (wrong,) = check_case(case, BROKEN[what](facts, case.evaluation), events).wrong
    assert what in wrong


def test_events_out_of_order_missing_strange_or_of_two_minds_are_named(case: Case, facts: Facts) -> None:
    one = case.evaluation.id
    accepted, cancelled = heard(one, ACCEPTED, 1), heard(one, CANCELLED, 2)
    for bad in (
        [cancelled, accepted],
        [accepted],
        [accepted, heard(one, CANCELLED, 0)],
        [accepted, heard(one, CANCELLED, 2, command="of another")],
        [accepted, cancelled, heard(one, CANCELLED, 2, extra=b" ")],
    ):
        assert check_case(case, facts, bad).wrong


def test_a_copy_that_did_not_come_is_named(case: Case, facts: Facts, events: list[Heard]) -> None:
    case.expected = replace(case.expected, copies=2)
    assert len(check_case(case, facts, events).wrong) == 2
    assert not check_case(case, facts, events * 2).wrong


def test_what_is_about_all_of_them_is_named_too(case: Case, facts: Facts, events: list[Heard]) -> None:
    assert check_dead_letters([b"x"], []).wrong
    assert check_events_of_others([], events).wrong
    assert check_at_rest(replace(facts, waiting={"outbox": 3})).wrong
    assert not check_at_rest(facts).wrong


def test_what_the_killed_one_held_must_have_been_taken_over(case: Case, facts: Facts) -> None:
    consumer: Any = SimpleNamespace(child=SimpleNamespace(running=False))
    killed = Killed(consumer=consumer, at=0.0, held=(case.evaluation.id,))
    assert not check_kill(killed, facts).wrong
    once = replace(facts, cancellations={case.evaluation.id: [{"phase": "cancelled", "attempts": 1}]})
    assert check_kill(killed, once).wrong


@pytest.fixture
def intake_env(case: Case, facts: Facts, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is left of the demo when its acts are over."""

    async def no_acts(_desk: Any) -> None:
        return None

    async def look(_running: Any) -> Facts:
        return facts

    monkeypatch.setattr(story, "_acts", no_acts)
    monkeypatch.setattr(story, "look_at_rest", look)
    listener = Listener()
    listener.events += [heard(case.evaluation.id, ACCEPTED, 1), heard(case.evaluation.id, CANCELLED, 2)]
    return SimpleNamespace(screen=Screen(), listener=listener, cases=[case], undecodable=[], running=None)


def test_the_exit_code_is_0_when_all_is_as_told(intake_env: Any) -> None:
    assert up.run(story.tell(intake_env)) == 0


def test_the_exit_code_is_1_and_the_case_is_named_when_something_is_not(
    intake_env: Any, case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    case.expected = replace(case.expected, status="succeeded")
    assert up.run(story.tell(intake_env)) == 1
    assert "one: its status in Postgres is cancelled, not succeeded" in capsys.readouterr().out


def test_the_table_has_a_row_for_each_case(case: Case, events: list[Heard], capsys: pytest.CaptureFixture[str]) -> None:
    listener = Listener()
    listener.events += events
    show_table(Screen(), [case], listener)
    assert show_checks(Screen(), [])
    assert "cancelled: its Job was not created" in capsys.readouterr().out
