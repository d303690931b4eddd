from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson

from evaluation_cancel.consumer.domain.cancellations import (
    ClaimedCancellation,
    Gone,
    Outcome,
    PodGone,
    Retry,
    StillStopping,
    TeardownEvidence,
)
from evaluation_cancel.consumer.domain.events import OutcomeEvents
from evaluation_cancel.consumer.runtime.batching import BatchCompleter
from evaluation_cancel.consumer.teardown.resolve import Resolution, resolve
from evaluation_cancel.consumer.teardown.store import PostgresCancellationStore
from evaluation_cancel.schemas.events import EvaluationCancelled
from tests.support.consumer.commands import EVENTS, command
from tests.support.consumer.postgres_env import LEASE, PostgresEnv, raise_at

NOTHING = TeardownEvidence()


async def published(postgres_env: PostgresEnv, evaluation: UUID) -> EvaluationCancelled:
    row = await postgres_env.row("messages", "evaluation_id = $1 AND type = 'EvaluationCancelled'", evaluation)
    return EvaluationCancelled.model_validate_json(row["value"])


async def test_the_end_is_one_transaction_of_phase_status_and_event(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation()
    opening, joining = command(evaluation), command(evaluation)
    await postgres_env.send(opening, joining)
    [row] = await postgres_env.claim()
    at = datetime(2026, 1, 1, tzinfo=UTC)
    pod = PodGone(name="pod-1", uid="p", first_seen_at=at, gone_at=at)
    evidence = TeardownEvidence(job="uid-1", job_finished="succeeded", pods=(pod,), pod_count=1)
    await postgres_env.store.finish_cancellations([(row, Gone(evidence=evidence))])
    assert await postgres_env.status(evaluation) == "cancelled"
    event = await published(postgres_env, evaluation)
    assert event.command_ids == (opening.id, joining.id)
    assert event.command_count == 2
    assert event.evidence.job == "uid-1"
    assert event.evidence.job_finished == "succeeded"
    assert [(p.name, p.gone_at) for p in event.evidence.pods] == [("pod-1", at)]
    assert event.status_before == "running"


async def test_a_thousand_commands_for_one_cancellation_are_counted_and_a_hundred_named(
    postgres_env: PostgresEnv,
) -> None:
    evaluation = await postgres_env.evaluation()
    await postgres_env.send(*(command(evaluation) for _ in range(1000)))
    await postgres_env.end(*await postgres_env.claim())
    event = await published(postgres_env, evaluation)
    assert (len(event.command_ids), event.command_count) == (100, 1000)


async def test_an_attempt_that_is_no_longer_the_newest_changes_nothing(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation()
    await postgres_env.send(command(evaluation))
    [stale] = await postgres_env.claim()
    await postgres_env.admin.execute("UPDATE evaluation_cancel.cancellations SET next_attempt_at = now()")
    [newer] = await postgres_env.claim()
    assert newer.attempt == stale.attempt + 1
    assert await postgres_env.store.record_intents([stale]) == set()
    await postgres_env.end(stale)
    assert await postgres_env.status(evaluation) == "running"
    await postgres_env.store.finish_cancellations(
        [(stale, StillStopping(evidence=NOTHING, poll_again_in=1, deleted=True))]
    )
    assert (await postgres_env.row("cancellations"))["claimed_by"] == "w"
    await postgres_env.end(newer)
    await postgres_env.end(newer)
    assert await postgres_env.types(evaluation) == ["EvaluationCancelAccepted", "EvaluationCancelled"]


async def test_an_intent_is_on_record_before_anything_may_be_deleted(postgres_env: PostgresEnv) -> None:
    await postgres_env.send(command(await postgres_env.evaluation()))
    [row] = await postgres_env.claim()
    assert (row.phase, row.intent_at) == ("accepted", None)
    assert await postgres_env.store.record_intents([row]) == {row.id}
    stored = await postgres_env.row("cancellations")
    assert (stored["phase"], stored["intent_at"] is not None) == ("stopping", True)


async def test_an_intent_is_refused_once_the_lease_has_ended(postgres_env: PostgresEnv) -> None:
    await postgres_env.send(command(await postgres_env.evaluation()))
    [row] = await postgres_env.claim()
    await postgres_env.admin.execute("UPDATE evaluation_cancel.cancellations SET next_attempt_at = now()")
    assert await postgres_env.store.record_intents([row]) == set()


async def test_a_poll_counts_no_error_and_an_error_is_kept_with_its_code(postgres_env: PostgresEnv) -> None:
    await postgres_env.send(command(await postgres_env.evaluation()))
    [row] = await postgres_env.claim()
    retry = Retry(evidence=NOTHING, code="timeout", detail="no answer", retry_in=0, refused=False)
    await postgres_env.store.finish_cancellations([(row, retry)])
    [row] = await postgres_env.claim()
    assert (row.errors, row.polls) == (1, 0)
    looked = StillStopping(evidence=TeardownEvidence(job="uid-1"), poll_again_in=0, deleted=True)
    await postgres_env.store.finish_cancellations([(row, looked)])
    [row] = await postgres_env.claim()
    assert (row.errors, row.polls, row.evidence.job) == (0, 1, "uid-1")
    stored = await postgres_env.row("cancellations")
    assert (stored["last_error_code"], stored["last_error_text"]) == ("timeout", "no answer")


async def test_a_definite_refusal_takes_its_own_intent_back_but_not_an_earlier_one(postgres_env: PostgresEnv) -> None:
    await postgres_env.send(command(await postgres_env.evaluation()))
    refused = Retry(evidence=NOTHING, code="rbac_denied", detail="no", retry_in=0, refused=True)
    unknown = Retry(evidence=NOTHING, code="timeout", detail="?", retry_in=0, refused=False)
    [row] = await postgres_env.claim()
    await postgres_env.store.record_intents([row])
    await postgres_env.store.finish_cancellations([(row, refused)])
    [row] = await postgres_env.claim()
    assert (row.intent_at, row.refused_since is not None) == (None, True)
    await postgres_env.store.record_intents([row])
    await postgres_env.store.finish_cancellations([(row, unknown)])
    [row] = await postgres_env.claim()
    assert row.intent_at is not None
    await postgres_env.store.finish_cancellations([(row, refused)])
    [row] = await postgres_env.claim()
    assert (row.intent_at is not None, row.refused_since) == (True, None)


async def test_our_lease_ends_before_the_database_gives_the_row_to_another(postgres_env: PostgresEnv) -> None:
    await postgres_env.send(command(await postgres_env.evaluation()))
    before = time.monotonic()
    [row] = await postgres_env.claim()
    assert row.deadline <= before + LEASE.total_seconds()
    assert await postgres_env.claim() == []
    left = await postgres_env.admin.fetchval(
        "SELECT extract(epoch FROM next_attempt_at - now()) FROM evaluation_cancel.cancellations"
    )
    assert row.deadline - time.monotonic() < left


async def test_a_claim_holds_the_difference_between_the_databases_clock_and_ours(postgres_env: PostgresEnv) -> None:
    wrong = PostgresCancellationStore(
        postgres_env.database,
        EVENTS,
        call_margin=timedelta(seconds=5),
        cleanup_deadline=timedelta(hours=1),
        on_ended=lambda: None,
        now=lambda: datetime.now(UTC) + timedelta(hours=1),
    )
    await postgres_env.send(command(await postgres_env.evaluation()))
    [row] = await wrong.claim_cancellations(clusters=["c1"], worker="w", limit=1, lease=LEASE)
    assert abs(row.clock_ahead + timedelta(hours=1)) < timedelta(minutes=1)


async def test_waking_makes_waiting_rows_due_and_leaves_claimed_ones(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation()
    await postgres_env.send(command(evaluation))
    [row] = await postgres_env.claim()
    assert await postgres_env.store.wake_cancellations([evaluation]) == 0
    looked = StillStopping(evidence=NOTHING, poll_again_in=60, deleted=True)
    await postgres_env.store.finish_cancellations([(row, looked)])
    assert await postgres_env.claim() == []
    assert await postgres_env.store.wake_cancellations([evaluation]) == 1
    assert len(await postgres_env.claim()) == 1


async def test_a_worker_that_stops_gives_back_what_it_holds(postgres_env: PostgresEnv) -> None:
    await postgres_env.send(command(await postgres_env.evaluation()))
    await postgres_env.claim()
    await postgres_env.store.release("w")
    assert len(await postgres_env.claim()) == 1


async def test_an_operator_closes_a_cancellation_with_a_reason_on_record(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation()
    await postgres_env.send(command(evaluation))
    [held] = await postgres_env.claim()
    said = Resolution(outcome="cancelled", operator="olga", reason="the cluster is gone")
    await resolve(postgres_env.database, EVENTS, evaluation, said, cleanup_deadline=LEASE)
    event = await published(postgres_env, evaluation)
    assert event.evidence.resolved_by is not None
    assert (event.evidence.resolved_by.id, event.evidence.resolve_reason) == ("olga", "the cluster is gone")
    stored = orjson.loads((await postgres_env.row("cancellations"))["evidence"])
    assert stored["resolved_by"] == "olga"
    await postgres_env.end(held)
    assert await postgres_env.types(evaluation) == ["EvaluationCancelAccepted", "EvaluationCancelled"]


async def test_an_operator_who_gives_up_opens_the_fence_again(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation()
    await postgres_env.send(command(evaluation))
    await postgres_env.call("report", evaluation, "succeeded")
    said = Resolution(outcome="failed", operator="olga", reason="let it finish")
    events: OutcomeEvents = EVENTS
    await resolve(postgres_env.database, events, evaluation, said, cleanup_deadline=LEASE)
    assert await postgres_env.status(evaluation) == "succeeded"
    row = await postgres_env.row("messages", "type = 'EvaluationCancelFailed'")
    assert orjson.loads(row["value"])["code"] == "resolved"


async def test_a_uid_that_no_event_can_hold_is_cut_and_its_cancellation_ends(postgres_env: PostgresEnv) -> None:
    evaluation = await postgres_env.evaluation(uid="u" * 5000)
    await postgres_env.send(command(evaluation))
    await postgres_env.end(*await postgres_env.claim(), job="u" * 5000)
    assert (await published(postgres_env, evaluation)).evidence.job.startswith("uuuu")


async def test_a_row_whose_table_refuses_the_end_holds_up_no_other(postgres_env: PostgresEnv) -> None:
    """As a trigger of the team whose table it is may do; and our own, where an evaluation has ended all the same."""
    odd, final, good = [await postgres_env.evaluation() for _ in range(3)]
    await postgres_env.send(*(command(evaluation) for evaluation in (odd, final, good)))
    rows = await postgres_env.claim()
    table = "evaluation_cancel.evaluations"
    await postgres_env.admin.execute(f"ALTER TABLE {table} DISABLE TRIGGER zzz_evaluation_cancel_guard")
    await postgres_env.admin.execute(f"UPDATE {table} SET status = 'succeeded' WHERE id = $1", final)
    await postgres_env.admin.execute(f"ALTER TABLE {table} ENABLE TRIGGER zzz_evaluation_cancel_guard")
    await raise_at(postgres_env, odd)
    done: list[UUID] = []
    finisher: BatchCompleter[ClaimedCancellation, Outcome] = BatchCompleter(
        postgres_env.store.finish_cancellations,
        lambda batch: done.extend(row.evaluation_id for row, _ in batch),
        instead=lambda row, error: Retry(
            evidence=row.evidence, code="unstorable", detail=str(error), retry_in=60, refused=False
        ),
        table="cancellations",
    )
    for row in rows:
        finisher.put(row, Gone(evidence=TeardownEvidence(job="uid-1")))
    await finisher.drain()
    assert sorted(done) == sorted([odd, final, good])
    assert await postgres_env.status(good) == "cancelled"
    assert await postgres_env.count("cancellations", "ended_at IS NULL AND last_error_code = 'unstorable'") == 2
