"""Cancellations that this process opens and takes on in one write."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta

import pytest

from evaluation_cancel.consumer.domain.cancellations import ClaimedCancellation, Gone, TeardownEvidence
from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.intake.decide import Batch
from tests.support.consumer.commands import command
from tests.support.consumer.postgres_env import PostgresEnv


class SlotSupplier:
    """Has room for so many."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.taken: list[ClaimedCancellation] = []
        self.freed = 0

    def try_reserve(self, clusters: Sequence[str | None]) -> list[bool]:
        return [n < self.room for n in range(len(clusters))]

    def release(self, clusters: Sequence[str | None]) -> None:
        self.freed += len(clusters)

    def dispatch(self, rows: Sequence[ClaimedCancellation]) -> None:
        self.taken += rows

    async def wait_for_capacity(self) -> None:
        pass


async def test_cancellations_with_a_slot_are_opened_claimed_and_the_others_are_due(postgres_env: PostgresEnv) -> None:
    taker = SlotSupplier(1)
    postgres_env.supply_slots(taker)
    first, second = [await postgres_env.evaluation("running") for _ in range(2)]
    decided = await postgres_env.decide.record(Batch(commands=[command(first), command(second)]))
    assert decided.waiting == 1
    [taken] = taker.taken
    assert (taken.evaluation_id, taken.attempt) == (first, 1)
    claimed = await postgres_env.store.claim_cancellations(
        clusters=["c1"], worker="there", limit=10, lease=timedelta(seconds=60)
    )
    assert [row.evaluation_id for row in claimed] == [second]
    assert await postgres_env.store.record_intents([taken]) == {taken.id}


async def test_an_eager_claim_ends_like_any_other_claim(postgres_env: PostgresEnv) -> None:
    taker = SlotSupplier(1)
    postgres_env.supply_slots(taker)
    evaluation = await postgres_env.evaluation("running")
    await postgres_env.decide.record(Batch(commands=[command(evaluation)]))
    await postgres_env.store.finish_cancellations([(taker.taken[0], Gone(evidence=TeardownEvidence(job="u")))])
    assert (await postgres_env.row("cancellations"))["phase"] == "cancelled"


async def test_no_slot_is_used_when_the_transaction_fails(
    postgres_env: PostgresEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(*_arguments: object) -> None:
        raise TemporaryError("postgres_unavailable", "gone")

    taker = SlotSupplier(1)
    postgres_env.supply_slots(taker)
    evaluation = await postgres_env.evaluation("running")
    monkeypatch.setattr("evaluation_cancel.consumer.sql.evaluations.touch", failing)
    with pytest.raises(TemporaryError):
        await postgres_env.decide.record(Batch(commands=[command(evaluation)]))
    assert (taker.taken, taker.freed) == ([], 1)
    assert await postgres_env.count("cancellations") == 0


async def test_the_eager_claims_of_a_process_that_died_are_due_after_their_lease(postgres_env: PostgresEnv) -> None:
    taker = SlotSupplier(1)
    postgres_env.supply_slots(taker)
    evaluation = await postgres_env.evaluation("running")
    await postgres_env.decide.record(Batch(commands=[command(evaluation)]))
    [stale] = taker.taken
    assert await postgres_env.claim() == []
    await postgres_env.admin.execute("UPDATE evaluation_cancel.cancellations SET next_attempt_at = now()")
    [newer] = await postgres_env.claim()
    assert (newer.id, newer.attempt) == (stale.id, 2)
    assert await postgres_env.store.record_intents([stale]) == set()
    await postgres_env.end(stale)
    assert await postgres_env.status(evaluation) == "running"
    await postgres_env.end(newer)
    assert await postgres_env.types(evaluation) == ["EvaluationCancelAccepted", "EvaluationCancelled"]


async def test_our_deadline_of_an_eager_claim_is_before_the_lease_in_the_database(postgres_env: PostgresEnv) -> None:
    taker = SlotSupplier(1)
    postgres_env.supply_slots(taker)
    await postgres_env.decide.record(Batch(commands=[command(await postgres_env.evaluation("running"))]))
    [taken] = taker.taken
    left = await postgres_env.admin.fetchval(
        "SELECT extract(epoch FROM next_attempt_at - now()) FROM evaluation_cancel.cancellations"
    )
    assert taken.deadline - time.monotonic() < left
    assert abs(taken.clock_ahead) < timedelta(minutes=1)
