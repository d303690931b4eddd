from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest

from evaluation_cancel.consumer.domain.commands import Position
from evaluation_cancel.consumer.domain.errors import Unstorable
from evaluation_cancel.consumer.intake.decide import Batch, DecisionService
from tests.support.consumer.commands import EVENTS, command
from tests.support.consumer.postgres_env import PostgresEnv, open_postgres_env, raise_at


async def test_a_batch_that_mixes_every_decision_decides_each_with_its_event(postgres_env: PostgresEnv) -> None:
    running, done, foreign = (
        await postgres_env.evaluation(),
        await postgres_env.evaluation("succeeded"),
        await postgres_env.evaluation(team="red"),
    )
    cancelled = await postgres_env.evaluation()
    await postgres_env.cancelled(command(cancelled))
    past = datetime.now(UTC) - timedelta(seconds=1)
    batch = {
        "accepted": command(running),
        "joined": command(running),
        "not_found": command(uuid4()),
        "forbidden": command(foreign),
        "already_completed": command(done),
        "already_cancelled": command(cancelled),
        "expired": command(running, expires_at=past),
    }
    decided = await postgres_env.send(*batch.values())
    assert decided.counts == dict.fromkeys(batch, 1)
    for what, sent in batch.items():
        row = await postgres_env.row("commands", "id = $1", sent.id)
        assert what in {row["decision"], row["code"]}
    assert await postgres_env.types(running) == ["EvaluationCancelAccepted", "EvaluationCancelRejected"]
    for evaluation in (done, foreign, batch["not_found"].evaluation_id):
        assert await postgres_env.types(evaluation) == ["EvaluationCancelRejected"]


async def test_an_evaluation_that_was_cancelled_says_when_and_by_which_cancellation(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation()
    await postgres_env.cancelled(command(evaluation))
    cancellation = await postgres_env.row("cancellations", "evaluation_id = $1", evaluation)
    again = command(evaluation)
    await postgres_env.send(again)
    row = await postgres_env.row("commands", "id = $1", again.id)
    assert (row["cancellation_id"], row["ended_seen"]) == (cancellation["id"], cancellation["ended_at"])


async def test_joining_adds_the_request_for_cleanup_and_never_removes_it(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation()
    await postgres_env.send(command(evaluation, cleanup=False))
    await postgres_env.send(command(evaluation, cleanup=True))
    await postgres_env.send(command(evaluation, cleanup=False))
    row = await postgres_env.row("cancellations")
    assert (row["cleanup_state"], row["joined"]) == ("pending", 2)


async def test_a_duplicate_publishes_again_what_was_published_for_it(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation()
    await postgres_env.cancelled(command(evaluation, id="c-1"))
    before = await postgres_env.admin.fetch("SELECT * FROM evaluation_cancel.messages ORDER BY id")
    await postgres_env.admin.execute("DELETE FROM evaluation_cancel.outbox")
    decided = await postgres_env.send(command(evaluation, id="c-1"))
    assert decided.counts == {"duplicate": 1}
    waiting = await postgres_env.admin.fetch("SELECT message_id FROM evaluation_cancel.outbox ORDER BY id")
    assert [row["message_id"] for row in waiting] == [row["id"] for row in before]
    assert await postgres_env.admin.fetch("SELECT * FROM evaluation_cancel.messages ORDER BY id") == before


async def test_the_same_record_delivered_again_changes_nothing(postgres_env: PostgresEnv) -> None:
    sent = command(await postgres_env.evaluation())
    await postgres_env.send(sent)
    waiting = await postgres_env.count("outbox")
    assert (await postgres_env.send(sent)).counts == {"redelivered": 1}
    assert (await postgres_env.count("outbox"), await postgres_env.count("cancellations")) == (waiting, 1)


async def test_an_id_used_again_for_a_different_command_becomes_a_dead_letter_and_changes_nothing(
    postgres_env: PostgresEnv,
) -> None:
    evaluation = await postgres_env.evaluation()
    await postgres_env.send(command(evaluation, id="c-1"))
    await postgres_env.send(command(evaluation, id="c-1", reason="another"))
    assert await postgres_env.count("messages", "type = 'DeadLetter'") == 1
    assert (await postgres_env.row("commands"))["reason"] == "too slow"


async def test_a_locked_evaluation_stops_no_other_and_is_decided_when_it_is_free(postgres_env: PostgresEnv) -> None:
    locked, free = await postgres_env.evaluation(), await postgres_env.evaluation()
    holder = await asyncpg.connect(postgres_env.dsn)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("SELECT FROM evaluation_cancel.evaluations WHERE id = $1 FOR UPDATE", locked)
    decided = await postgres_env.send(command(locked), command(free))
    assert decided.counts == {"undecided": 1, "accepted": 1}
    assert (await postgres_env.decide.left_over(100)).counts == {}
    await transaction.rollback()
    await holder.close()
    assert (await postgres_env.decide.left_over(100)).counts == {"accepted": 1}
    assert (await postgres_env.decide.left_over(100)).counts == {}
    assert await postgres_env.types(locked) == ["EvaluationCancelAccepted"]


async def test_a_duplicate_of_an_undecided_command_waits_with_it(postgres_env: PostgresEnv) -> None:
    locked = await postgres_env.evaluation()
    async with postgres_env.admin.transaction():
        await postgres_env.admin.execute("SELECT FROM evaluation_cancel.evaluations WHERE id = $1 FOR UPDATE", locked)
        await postgres_env.send(command(locked, id="c-1"))
        assert (await postgres_env.send(command(locked, id="c-1"))).counts == {"duplicate": 1}
    assert (await postgres_env.decide.left_over(100)).counts == {"accepted": 1}


async def test_two_consumers_with_the_same_commands_open_one_cancellation_each(postgres_env: PostgresEnv) -> None:
    commands = [command(await postgres_env.evaluation(), id=f"c-{n}") for n in range(20)]
    same = [command(c.evaluation_id, id=c.id) for c in reversed(commands)]
    async with open_postgres_env(postgres_env.dsn) as other:

        async def until_recorded(consumer: PostgresEnv, batch: list[object]) -> None:
            for _ in range(50):
                try:
                    await consumer.decide.record(Batch(commands=batch))  # type: ignore[arg-type]
                except Exception as error:  # what intake repeats, the race that is lost
                    if getattr(error, "code", "") not in {"lost_race", "postgres_unavailable"}:
                        raise
                    continue
                return
            pytest.fail("never recorded")

        await asyncio.gather(until_recorded(postgres_env, list(commands)), until_recorded(other, list(same)))
        while (await postgres_env.decide.left_over(100)).counts:
            pass
    assert await postgres_env.count("cancellations") == 20
    assert await postgres_env.count("commands", "decision = 'accepted'") == 20
    assert await postgres_env.count("messages") == 20


async def test_a_value_that_postgres_never_stores_differs_from_an_outage(postgres_env: PostgresEnv) -> None:
    with pytest.raises(Unstorable):
        # Too long for an index entry even when it is compressed.
        await postgres_env.send(command(await postgres_env.evaluation(), id="".join(str(uuid4()) for _ in range(200))))
    assert await postgres_env.count("commands") == 0


async def test_offsets_are_stored_with_the_batch_and_never_move_back(postgres_env: PostgresEnv) -> None:
    for offset in (10, 7):
        await postgres_env.decide.record(Batch(next_offsets=[Position("commands", 3, offset)]))
    assert (await postgres_env.row("offsets"))["next_offset"] == 10


async def test_a_source_may_act_for_every_team_only_if_settings_say_so(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation(team="red")
    assert (await postgres_env.send(command(evaluation))).counts == {"forbidden": 1}
    assert (await postgres_env.send(command(evaluation, every_team=True))).counts == {"accepted": 1}


async def test_thousands_of_commands_behind_one_lock_do_not_crowd_out_the_others(postgres_env: PostgresEnv) -> None:
    hot, other = await postgres_env.evaluation(), await postgres_env.evaluation()
    holder = await asyncpg.connect(postgres_env.dsn)
    async with holder.transaction():
        await holder.execute("SELECT FROM evaluation_cancel.evaluations WHERE id = $1 FOR UPDATE", hot)
        async with postgres_env.admin.transaction():
            await postgres_env.admin.execute(
                "SELECT FROM evaluation_cancel.evaluations WHERE id = $1 FOR UPDATE", other
            )
            await postgres_env.send(*(command(hot) for _ in range(50)), command(other))
        assert (await postgres_env.decide.left_over(10)).counts == {"accepted": 1}
        assert (await postgres_env.decide.left_over(10)).counts == {}
    await holder.close()
    while (await postgres_env.decide.left_over(10)).counts:
        pass
    assert await postgres_env.count("commands", "decision IS NULL") == 0


async def test_an_undecided_command_that_its_table_refuses_does_not_delay_the_others(
    postgres_env: PostgresEnv,
) -> None:
    odd, *others = [await postgres_env.evaluation() for _ in range(6)]
    async with postgres_env.admin.transaction():
        await postgres_env.admin.execute("SELECT FROM evaluation_cancel.evaluations FOR UPDATE")
        await postgres_env.send(command(others[0]), command(odd), *(command(other) for other in others[1:]))
    await raise_at(postgres_env, odd)
    for _ in range(10):
        await postgres_env.decide.left_over(100)
    assert await postgres_env.count("commands", "decision = 'accepted'") == len(others)
    assert await postgres_env.count("commands", "decision IS NULL") == 1
    await postgres_env.admin.execute("DROP TRIGGER theirs ON evaluation_cancel.evaluations")
    later = DecisionService(postgres_env.database, EVENTS, postgres_env.eager_claims)  # one that has not heard of it
    assert (await later.left_over(100)).counts == {"accepted": 1}
