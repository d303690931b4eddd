from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest

from evaluation_cancel.consumer.domain.errors import Unstorable
from evaluation_cancel.consumer.intake.decide import Batch, Decide
from tests.support.consumer.commands import EVENTS, command
from tests.support.consumer.postgres_env import Ledger, open_ledger, raise_at


async def test_a_batch_that_mixes_every_decision_decides_each_with_its_event(ledger: Ledger) -> None:
    running, done, foreign = (
        await ledger.evaluation(),
        await ledger.evaluation("succeeded"),
        await ledger.evaluation(team="red"),
    )
    cancelled = await ledger.evaluation()
    await ledger.cancelled(command(cancelled))
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
    decided = await ledger.send(*batch.values())
    assert decided.counts == dict.fromkeys(batch, 1)
    for what, sent in batch.items():
        row = await ledger.row("commands", "id = $1", sent.id)
        assert what in {row["decision"], row["code"]}
    assert await ledger.types(running) == ["EvaluationCancelAccepted", "EvaluationCancelRejected"]
    for evaluation in (done, foreign, batch["not_found"].evaluation_id):
        assert await ledger.types(evaluation) == ["EvaluationCancelRejected"]


async def test_an_evaluation_that_was_cancelled_says_when_and_by_which_cancellation(ledger: Ledger) -> None:
    evaluation = await ledger.evaluation()
    await ledger.cancelled(command(evaluation))
    cancellation = await ledger.row("cancellations", "evaluation_id = $1", evaluation)
    again = command(evaluation)
    await ledger.send(again)
    row = await ledger.row("commands", "id = $1", again.id)
    assert (row["cancellation_id"], row["ended_seen"]) == (cancellation["id"], cancellation["ended_at"])


async def test_joining_adds_the_wish_for_cleanup_and_never_takes_it_away(ledger: Ledger) -> None:
    evaluation = await ledger.evaluation()
    await ledger.send(command(evaluation, cleanup=False))
    await ledger.send(command(evaluation, cleanup=True))
    await ledger.send(command(evaluation, cleanup=False))
    row = await ledger.row("cancellations")
    assert (row["cleanup_state"], row["joined"]) == ("pending", 2)


async def test_a_duplicate_publishes_again_what_was_published_for_it(ledger: Ledger) -> None:
    evaluation = await ledger.evaluation()
    await ledger.cancelled(command(evaluation, id="c-1"))
    before = await ledger.admin.fetch("SELECT * FROM evaluation_cancel.messages ORDER BY id")
    await ledger.admin.execute("DELETE FROM evaluation_cancel.outbox")
    decided = await ledger.send(command(evaluation, id="c-1"))
    assert decided.counts == {"duplicate": 1}
    waiting = await ledger.admin.fetch("SELECT message_id FROM evaluation_cancel.outbox ORDER BY id")
    assert [row["message_id"] for row in waiting] == [row["id"] for row in before]
    assert await ledger.admin.fetch("SELECT * FROM evaluation_cancel.messages ORDER BY id") == before


async def test_the_same_record_delivered_again_changes_nothing(ledger: Ledger) -> None:
    sent = command(await ledger.evaluation())
    await ledger.send(sent)
    waiting = await ledger.count("outbox")
    assert (await ledger.send(sent)).counts == {"redelivered": 1}
    assert (await ledger.count("outbox"), await ledger.count("cancellations")) == (waiting, 1)


async def test_an_id_used_again_for_another_meaning_becomes_a_dead_letter_and_changes_nothing(ledger: Ledger) -> None:
    evaluation = await ledger.evaluation()
    await ledger.send(command(evaluation, id="c-1"))
    await ledger.send(command(evaluation, id="c-1", reason="another"))
    assert await ledger.count("messages", "type = 'DeadLetter'") == 1
    assert (await ledger.row("commands"))["reason"] == "too slow"


async def test_a_locked_evaluation_stops_no_other_and_is_decided_when_it_is_free(ledger: Ledger) -> None:
    locked, free = await ledger.evaluation(), await ledger.evaluation()
    holder = await asyncpg.connect(ledger.dsn)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("SELECT FROM evaluation_cancel.evaluations WHERE id = $1 FOR UPDATE", locked)
    decided = await ledger.send(command(locked), command(free))
    assert decided.counts == {"undecided": 1, "accepted": 1}
    assert (await ledger.decide.left_over(100)).counts == {}
    await transaction.rollback()
    await holder.close()
    assert (await ledger.decide.left_over(100)).counts == {"accepted": 1}
    assert (await ledger.decide.left_over(100)).counts == {}
    assert await ledger.types(locked) == ["EvaluationCancelAccepted"]


async def test_a_duplicate_of_an_undecided_command_waits_with_it(ledger: Ledger) -> None:
    locked = await ledger.evaluation()
    async with ledger.admin.transaction():
        await ledger.admin.execute("SELECT FROM evaluation_cancel.evaluations WHERE id = $1 FOR UPDATE", locked)
        await ledger.send(command(locked, id="c-1"))
        assert (await ledger.send(command(locked, id="c-1"))).counts == {"duplicate": 1}
    assert (await ledger.decide.left_over(100)).counts == {"accepted": 1}


async def test_two_consumers_with_the_same_commands_open_one_cancellation_each(ledger: Ledger) -> None:
    commands = [command(await ledger.evaluation(), id=f"c-{n}") for n in range(20)]
    same = [command(c.evaluation_id, id=c.id) for c in reversed(commands)]
    async with open_ledger(ledger.dsn) as other:

        async def until_recorded(consumer: Ledger, batch: list[object]) -> None:
            for _ in range(50):
                try:
                    await consumer.decide.record(Batch(commands=batch))  # type: ignore[arg-type]
                except Exception as error:  # what intake repeats, the race that is lost
                    if getattr(error, "code", "") not in {"lost_race", "postgres_unavailable"}:
                        raise
                    continue
                return
            pytest.fail("never recorded")

        await asyncio.gather(until_recorded(ledger, list(commands)), until_recorded(other, list(same)))
        while (await ledger.decide.left_over(100)).counts:
            pass
    assert await ledger.count("cancellations") == 20
    assert await ledger.count("commands", "decision = 'accepted'") == 20
    assert await ledger.count("messages") == 20


async def test_a_value_that_postgres_never_takes_is_told_from_an_outage(ledger: Ledger) -> None:
    with pytest.raises(Unstorable):
        # Too long for an index entry even when it is compressed.
        await ledger.send(command(await ledger.evaluation(), id="".join(str(uuid4()) for _ in range(200))))
    assert await ledger.count("commands") == 0


async def test_offsets_are_stored_with_the_batch_and_never_move_back(ledger: Ledger) -> None:
    for offset in (10, 7):
        await ledger.decide.record(Batch(next_offsets=[("commands", 3, offset)]))
    assert (await ledger.row("offsets"))["next_offset"] == 10


async def test_a_source_may_act_for_every_team_only_if_settings_say_so(ledger: Ledger) -> None:
    evaluation = await ledger.evaluation(team="red")
    assert (await ledger.send(command(evaluation))).counts == {"forbidden": 1}
    assert (await ledger.send(command(evaluation, every_team=True))).counts == {"accepted": 1}


async def test_thousands_left_over_behind_one_lock_hide_nobody_elses(ledger: Ledger) -> None:
    hot, other = await ledger.evaluation(), await ledger.evaluation()
    holder = await asyncpg.connect(ledger.dsn)
    async with holder.transaction():
        await holder.execute("SELECT FROM evaluation_cancel.evaluations WHERE id = $1 FOR UPDATE", hot)
        async with ledger.admin.transaction():
            await ledger.admin.execute("SELECT FROM evaluation_cancel.evaluations WHERE id = $1 FOR UPDATE", other)
            await ledger.send(*(command(hot) for _ in range(50)), command(other))
        assert (await ledger.decide.left_over(10)).counts == {"accepted": 1}
        assert (await ledger.decide.left_over(10)).counts == {}
    await holder.close()
    while (await ledger.decide.left_over(10)).counts:
        pass
    assert await ledger.count("commands", "decision IS NULL") == 0


async def test_a_left_over_command_that_its_table_refuses_keeps_no_other_from_being_decided(ledger: Ledger) -> None:
    odd, *others = [await ledger.evaluation() for _ in range(6)]
    async with ledger.admin.transaction():
        await ledger.admin.execute("SELECT FROM evaluation_cancel.evaluations FOR UPDATE")
        await ledger.send(command(others[0]), command(odd), *(command(other) for other in others[1:]))
    await raise_at(ledger, odd)
    for _ in range(10):
        await ledger.decide.left_over(100)
    assert await ledger.count("commands", "decision = 'accepted'") == len(others)
    assert await ledger.count("commands", "decision IS NULL") == 1
    await ledger.admin.execute("DROP TRIGGER theirs ON evaluation_cancel.evaluations")
    later = Decide(ledger.database, EVENTS, ledger.handover)  # one that has not heard of it
    assert (await later.left_over(100)).counts == {"accepted": 1}
