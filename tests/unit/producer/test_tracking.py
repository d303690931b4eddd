from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from evaluation_cancel.producer.tracking import FollowedCommand, Tracker
from evaluation_cancel.schemas.envelope import TYPE_PREFIX, Envelope
from evaluation_cancel.schemas.events import (
    Actor,
    EvaluationCancelAccepted,
    EvaluationCancelFailed,
    EvaluationCancelled,
    EvaluationCancelRejected,
    Event,
    Evidence,
    event_id,
)

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
EVALUATION = uuid4()
ADA = Actor(kind="user", id="ada")
BASE: dict[str, Any] = {"evaluation_id": EVALUATION, "requested_by": ADA}
TEAM: dict[str, Any] = BASE | {"cancellation_id": uuid4(), "team_id": "team-7", "accepted_at": NOON}


def accepted() -> Event:
    return EvaluationCancelAccepted(**TEAM, status_before="running")


def cancelled(*commands: str, count: int | None = None) -> Event:
    return EvaluationCancelled(
        **TEAM,
        status_before="running",
        command_ids=commands,
        command_count=len(commands) if count is None else count,
        cancelled_at=NOON,
        evidence=Evidence(job="uid"),
    )


def failed(*commands: str) -> Event:
    return EvaluationCancelFailed(
        **TEAM, code="rbac_denied", detail="no", failed_at=NOON, command_ids=commands, command_count=len(commands)
    )


def rejected(code: Any = "not_found") -> Event:
    return EvaluationCancelRejected(**BASE, code=code)


def sent(event: Event, command_id: str, source: str = "/tests") -> tuple[Envelope, Event]:
    """The event as the consumer publishes it because of this command."""
    name = type(event).__name__
    identity = str(event_id(source, command_id, name))
    return Envelope(id=identity, source="/consumer", type=TYPE_PREFIX + name, causationid=command_id), event


@pytest.fixture
def tracker() -> Tracker:
    return Tracker()


@pytest.fixture
async def mine(tracker: Tracker) -> FollowedCommand:
    return tracker.follow(source="/tests", command_id="mine", evaluation_id=EVALUATION)


async def test_an_accepted_command_ends_with_its_cancellation(tracker: Tracker, mine: FollowedCommand) -> None:
    tracker.observe(*sent(accepted(), "mine"))
    assert mine.accepted is not None
    assert not mine.outcome.done()
    tracker.observe(*sent(cancelled("mine"), "mine"))
    assert mine.outcome.result().kind == "cancelled"
    assert mine.outcome.result().achieved


@pytest.mark.parametrize(("code", "achieved"), [("already_cancelled", True), ("already_completed", False)])
async def test_a_rejected_command_ends_at_once(
    tracker: Tracker, mine: FollowedCommand, code: str, achieved: bool
) -> None:
    tracker.observe(*sent(rejected(code), "mine"))
    outcome = mine.outcome.result()
    assert (outcome.kind, outcome.code, outcome.achieved) == ("rejected", code, achieved)


async def test_a_failed_cancellation_is_told_with_its_reason(tracker: Tracker, mine: FollowedCommand) -> None:
    tracker.observe(*sent(failed("mine"), "mine"))
    outcome = mine.outcome.result()
    assert (outcome.kind, outcome.code, outcome.detail, outcome.achieved) == ("failed", "rbac_denied", "no", False)


@pytest.mark.parametrize("end", [cancelled, failed])
async def test_a_joined_command_shares_the_outcome(tracker: Tracker, mine: FollowedCommand, end: Any) -> None:
    tracker.observe(*sent(accepted(), "theirs"))
    assert mine.accepted is None
    tracker.observe(*sent(end("theirs", "mine"), "theirs"))
    assert mine.outcome.done()


async def test_an_end_without_my_command_is_not_mine(tracker: Tracker, mine: FollowedCommand) -> None:
    """Published just before mine was decided: a rejection follows, perhaps because I may not ask at all."""
    tracker.observe(*sent(cancelled("theirs"), "theirs"))
    assert not mine.outcome.done()
    tracker.observe(*sent(rejected("forbidden"), "mine"))
    assert mine.outcome.result().code == "forbidden"


async def test_beyond_a_hundred_commands_the_list_is_cut(tracker: Tracker, mine: FollowedCommand) -> None:
    tracker.observe(*sent(cancelled(*(f"c{n}" for n in range(100)), count=101), "c0"))
    assert mine.outcome.result().kind == "cancelled"


async def test_the_same_id_of_another_source_is_another_command(tracker: Tracker, mine: FollowedCommand) -> None:
    tracker.observe(*sent(rejected(), "mine", source="/elsewhere"))
    tracker.observe(*sent(accepted(), "mine", source="/elsewhere"))
    assert mine.accepted is None
    assert not mine.outcome.done()


async def test_events_of_another_evaluation_are_none_of_mine(tracker: Tracker, mine: FollowedCommand) -> None:
    other = rejected().model_copy(update={"evaluation_id": UUID(int=1)})
    tracker.observe(*sent(other, "mine"))
    assert not mine.outcome.done()


async def test_what_is_published_again_changes_nothing(tracker: Tracker, mine: FollowedCommand) -> None:
    for event in (accepted(), cancelled("mine"), accepted(), cancelled("mine"), failed("mine")):
        tracker.observe(*sent(event, "mine"))
    assert mine.outcome.result().kind == "cancelled"


@pytest.mark.parametrize("position_known_first", [True, False])
async def test_a_dead_letter_is_an_outcome(tracker: Tracker, mine: FollowedCommand, position_known_first: bool) -> None:
    position = ("commands", 3, 42)
    tracker.observe_dead_letter(("commands", 3, 41), "not_json", "is not JSON")
    if position_known_first:
        tracker.published(mine, position)
        tracker.observe_dead_letter(position, "id_reused", "means something else")
    else:
        tracker.observe_dead_letter(position, "id_reused", "means something else")
        tracker.published(mine, position)
    outcome = mine.outcome.result()
    assert (outcome.kind, outcome.code, outcome.achieved) == ("dead_letter", "id_reused", False)


async def test_several_commands_for_one_evaluation_each_learn_theirs(tracker: Tracker, mine: FollowedCommand) -> None:
    second = tracker.follow(source="/tests", command_id="second", evaluation_id=EVALUATION)
    tracker.observe(*sent(rejected("expired"), "second"))
    assert second.outcome.done()
    tracker.forget(second)
    tracker.observe(*sent(cancelled("mine"), "mine"))
    assert mine.outcome.done()


async def test_nothing_is_kept_of_what_is_forgotten(tracker: Tracker, mine: FollowedCommand) -> None:
    tracker.published(mine, ("commands", 0, 1))
    tracker.observe_dead_letter(("commands", 0, 2), "not_json", "is not JSON")
    tracker.forget(mine)
    tracker.observe_dead_letter(("commands", 0, 3), "not_json", "is not JSON")
    assert vars(tracker) == vars(Tracker())


async def test_when_nothing_more_will_be_learnt_everybody_is_told(tracker: Tracker, mine: FollowedCommand) -> None:
    tracker.fail(RuntimeError("gone"))
    with pytest.raises(RuntimeError, match="gone"):
        await mine.outcome
