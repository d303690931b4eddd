from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from evaluation_cancel.consumer.domain.commands import CommandKey, KnownCommand, ReceivedCommand
from evaluation_cancel.consumer.domain.decisions import EvaluationSeen
from evaluation_cancel.consumer.intake.batch import LOCKED, DecisionBatch
from evaluation_cancel.schemas.events import event_id
from tests.support.consumer.commands import EVENTS, NOW, command


def running(team: str = "blue") -> EvaluationSeen:
    return EvaluationSeen(team_id=team, status="running", cluster="c1")


def decided(commands: list[ReceivedCommand], seen: dict[UUID, EvaluationSeen]) -> DecisionBatch:
    batch = DecisionBatch(EVENTS, NOW)
    batch.plan(batch.new_commands(commands, {}), seen)
    return batch


def recorded(earlier: ReceivedCommand, **changes: Any) -> dict[CommandKey, KnownCommand]:
    known = KnownCommand(
        source=earlier.source,
        id=earlier.id,
        fingerprint=earlier.fingerprint,
        topic=earlier.topic,
        partition=earlier.partition,
        offset=earlier.offset,
        opening_source=earlier.source,
        opening_id=earlier.id,
    )
    return {earlier.key: replace(known, **changes)}


def test_the_first_command_of_a_batch_opens_and_the_next_ones_join() -> None:
    evaluation = uuid4()
    commands = [command(evaluation), command(evaluation, cleanup=True), command(evaluation)]
    batch = decided(commands, {evaluation: running()})
    assert [row.decision for row in batch.inbox_rows] == ["accepted", "joined", "joined"]
    [opening] = batch.openings
    assert batch.joined == {opening.id: (2, True)}
    assert {row.cancellation_id for row in batch.inbox_rows} == {opening.id}
    assert [m.type for m in batch.messages] == ["EvaluationCancelAccepted"]


def test_a_decision_is_recorded_with_the_facts_behind_it() -> None:
    evaluation = uuid4()
    batch = decided([command(evaluation), command(evaluation)], {evaluation: running()})
    first, second = batch.inbox_rows
    assert (first.team_seen, first.status_seen, first.fence_seen) == ("blue", "running", None)
    assert second.fence_seen == batch.openings[0].id


def test_a_locked_evaluation_leaves_its_commands_undecided_and_without_events() -> None:
    locked, free = uuid4(), uuid4()
    batch = decided([command(locked), command(free)], {locked: LOCKED, free: running()})
    assert [row.decision for row in batch.inbox_rows] == [None, "accepted"]
    assert [m.evaluation_id for m in batch.messages] == [free]


def test_a_rejection_of_another_team_names_no_team() -> None:
    evaluation = uuid4()
    [message] = decided([command(evaluation)], {evaluation: running("red")}).messages
    assert message.type == "EvaluationCancelRejected"
    assert b'"code":"forbidden"' in (message.value or b"")
    assert b"red" not in (message.value or b"")


def test_a_duplicate_asks_for_the_events_of_the_cancellation_it_led_to() -> None:
    earlier = command(id="c-1")
    again = command(earlier.evaluation_id, id="c-1")
    batch = DecisionBatch(EVENTS, NOW)
    assert batch.new_commands([again], recorded(earlier, opening_id="c-0")) == []
    assert (earlier.evaluation_id, event_id(earlier.source, "c-0", "EvaluationCancelled")) in batch.republished
    assert batch.counts == {"duplicate": 1}


def test_a_record_that_kafka_delivers_again_asks_for_nothing() -> None:
    earlier = command()
    batch = DecisionBatch(EVENTS, NOW)
    assert batch.new_commands([earlier], recorded(earlier)) == []
    assert (batch.republished, batch.messages) == ([], [])
    assert batch.counts == {"redelivered": 1}


def test_an_id_used_for_a_different_command_is_a_dead_letter() -> None:
    earlier = command(id="c-1", reason="too slow")
    other = command(earlier.evaluation_id, id="c-1", reason="too dear")
    batch = DecisionBatch(EVENTS, NOW)
    assert batch.new_commands([other], recorded(earlier)) == []
    [letter] = batch.messages
    assert letter.topic == "dlq"
    assert ("dlq_code", b"id_reused") in letter.headers
    assert letter.value == other.record.value if other.record else False


def test_an_id_used_twice_in_one_batch_is_a_duplicate_or_a_dead_letter() -> None:
    first = command(id="c-1")
    same = command(first.evaluation_id, id="c-1")
    other = command(first.evaluation_id, id="c-1", actor="eve")
    batch = DecisionBatch(EVENTS, NOW)
    assert batch.new_commands([first, same, other], {}) == [first]
    assert batch.counts == {"duplicate": 1, "id_reused": 1}


def test_teams_are_not_part_of_the_fingerprint_because_a_new_token_may_list_others() -> None:
    first = command(id="c-1", team="blue")
    again = command(first.evaluation_id, id="c-1", team="green")
    assert first.fingerprint == again.fingerprint


evaluations = st.sampled_from([uuid4() for _ in range(3)])


@given(
    wanted=st.lists(st.tuples(evaluations, st.sampled_from(["a", "b", "c", "d"]), st.sampled_from(["blue", "red"]))),
    states=st.lists(st.sampled_from(["running", "succeeded", "locked", "absent"]), min_size=3, max_size=3),
)
def test_every_command_of_any_batch_gets_exactly_one_answer(
    wanted: list[tuple[UUID, str, str]], states: list[str]
) -> None:
    commands = [command(evaluation, id=id_, team=team) for evaluation, id_, team in wanted]
    seen = {
        evaluation: LOCKED if state == "locked" else EvaluationSeen(team_id="blue", status=state)
        for evaluation, state in zip(dict.fromkeys(c.evaluation_id for c in commands), states, strict=False)
        if state != "absent"
    }
    batch = decided(commands, dict(seen))
    assert sum(batch.counts.values()) == len(commands)
    assert len({row.command.key for row in batch.inbox_rows}) == len(batch.inbox_rows)
    opened = Counter(o.evaluation_id for o in batch.openings)
    assert all(count == 1 and seen[evaluation].status == "running" for evaluation, count in opened.items())
    assert len(batch.openings) == sum(row.decision == "accepted" for row in batch.inbox_rows)
