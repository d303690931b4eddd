"""One attempt: what it asks of the cluster, what it takes for proof, and when it may fail."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from consumer.cancellations import (
    ClaimedCancellation,
    Failed,
    Gone,
    Outcome,
    PodGone,
    Retry,
    StillStopping,
    TeardownEvidence,
)
from consumer.errors import Refusal, TemporaryError
from consumer.jobs import Pod, of_evaluation, pods_of_job
from consumer.pods_seen import PODS_IN_EVIDENCE
from consumer.teardown import TeardownRules, attempt, retry_pause
from tests.fakes.jobs import MemoryJobs, job

EVALUATION = UUID("0197c0de-0000-7000-8000-000000000001")
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
RULES = TeardownRules()
A_POD = Pod(name="job-abc", uid="pod-1", owner_uid="uid-1")


def row(**changes: Any) -> ClaimedCancellation:
    given: dict[str, Any] = {
        "id": UUID(int=7),
        "evaluation_id": EVALUATION,
        "team_id": "team",
        "attempt": 1,
        "phase": "stopping",
        "status_before": "running",
        "cluster": "local",
        "namespace": "default",
        "job_name": "job",
        "job_uid": "uid-1",
        "accepted_at": NOW - timedelta(seconds=1),
        "intent_at": None,
        "refused_since": None,
        "deadline": time.monotonic() + 3600,
    }
    return ClaimedCancellation(**(given | changes))


class Intents:
    """Records intents into the list of calls, so that their order shows."""

    def __init__(self, jobs: MemoryJobs, *, held: bool = True) -> None:
        self.jobs = jobs
        self.held = held

    async def __call__(self) -> bool:
        self.jobs.calls.append(("intent",))
        return self.held


async def attempted(claimed: ClaimedCancellation, jobs: MemoryJobs, *, held: bool = True, **seen: Any) -> Outcome:
    return await attempt(claimed, jobs, Intents(jobs, held=held), rules=RULES, now=lambda: NOW, **seen)


async def test_an_evaluation_without_a_cluster_has_no_job_to_stop() -> None:
    jobs = MemoryJobs()
    created = row(status_before="created", cluster=None, namespace=None, job_name=None, job_uid=None)
    outcome = await attempted(created, jobs)
    assert outcome == Gone(evidence=TeardownEvidence(job="not created"))
    assert jobs.calls == []


@pytest.mark.parametrize("status", ["starting", "running"])
async def test_one_that_had_begun_without_naming_a_cluster_is_never_said_to_be_gone(status: str) -> None:
    outcome = await attempted(row(status_before=status, cluster=None), MemoryJobs())
    assert isinstance(outcome, Retry)
    assert (outcome.code, outcome.refused) == ("incomplete_job_reference", False)


async def test_a_job_that_appears_between_the_last_list_and_the_last_look_is_stopped() -> None:
    late = row(job_uid=None, accepted_at=NOW - timedelta(hours=1))
    jobs = MemoryJobs()
    jobs.fail("get", lambda: jobs.jobs.update(job=job(EVALUATION)))
    outcome = await attempted(late, jobs)
    assert isinstance(outcome, StillStopping)
    assert outcome.evidence.job == "uid-1"
    assert jobs.verbs == ["find", "get", "intent", "delete"]


async def test_pods_of_a_selector_of_its_own_are_looked_for_though_the_first_look_at_the_job_failed() -> None:
    jobs = MemoryJobs(pods={of_evaluation(EVALUATION): [A_POD]})
    jobs.fail("get", TemporaryError("timeout", "no answer"))
    first = await attempted(row(), jobs)
    assert isinstance(first, Retry)
    second = await attempted(row(attempt=2, evidence=first.evidence), jobs)
    assert isinstance(second, StillStopping)


async def test_a_running_job_is_deleted_once_its_intent_is_on_record() -> None:
    jobs = MemoryJobs(job(EVALUATION))
    outcome = await attempted(row(), jobs)
    assert jobs.calls == [("get", "job"), ("intent",), ("delete", "job", "uid-1")]
    assert isinstance(outcome, StillStopping)
    assert outcome.deleted
    assert outcome.evidence.job == "uid-1"


async def test_an_ordinary_cancellation_costs_two_gets_one_delete_and_one_list() -> None:
    jobs = MemoryJobs(job(EVALUATION))
    first = await attempted(row(), jobs)
    second = await attempted(row(intent_at=NOW, evidence=first.evidence, attempt=2), jobs)
    assert isinstance(second, Gone)
    assert [verb for verb in jobs.verbs if verb != "intent"] == ["get", "delete", "get", "pods"]


async def test_nothing_is_deleted_without_an_intent_on_record() -> None:
    jobs = MemoryJobs(job(EVALUATION))
    outcome = await attempted(row(), jobs, held=False)
    assert "delete" not in jobs.verbs
    assert isinstance(outcome, StillStopping)
    assert not outcome.deleted


async def test_nothing_is_deleted_once_the_lease_is_too_short_for_the_call() -> None:
    jobs = MemoryJobs(job(EVALUATION))
    outcome = await attempted(row(deadline=time.monotonic()), jobs)
    assert "delete" not in jobs.verbs
    assert isinstance(outcome, StillStopping)


async def test_a_job_that_is_gone_is_no_proof_while_a_pod_is_listed() -> None:
    jobs = MemoryJobs(pods={pods_of_job("uid-1"): [A_POD]})
    outcome = await attempted(row(), jobs)
    assert isinstance(outcome, StillStopping)
    assert outcome.evidence.pods == (PodGone(name="job-abc", uid="pod-1", first_seen_at=NOW),)


async def test_an_empty_list_is_no_proof_while_the_job_is_there() -> None:
    jobs = MemoryJobs(job(EVALUATION, deletion_requested_at=NOW, finalizers=("foregroundDeletion",)))
    outcome = await attempted(row(intent_at=NOW), jobs)
    assert isinstance(outcome, StillStopping)
    assert "pods" not in jobs.verbs


async def test_the_list_that_proves_the_end_is_made_after_the_job_was_seen_gone() -> None:
    jobs = MemoryJobs()
    await attempted(row(), jobs)
    assert jobs.verbs.index("get") < jobs.verbs.index("pods")


async def test_another_uid_under_the_name_is_never_touched_and_means_ours_is_gone() -> None:
    jobs = MemoryJobs(job(EVALUATION, uid="uid-2"))
    outcome = await attempted(row(), jobs)
    assert isinstance(outcome, Gone)
    assert outcome.evidence.job == "uid-1"
    assert "delete" not in jobs.verbs


async def test_a_job_replaced_between_look_and_delete_is_not_touched() -> None:
    jobs = MemoryJobs(job(EVALUATION))
    jobs.fail("delete", lambda: jobs.jobs.update(job=job(EVALUATION, uid="uid-2")))
    outcome = await attempted(row(), jobs)
    assert isinstance(outcome, Gone)
    assert jobs.jobs["job"].uid == "uid-2"


async def test_a_delete_under_way_is_not_repeated() -> None:
    jobs = MemoryJobs(job(EVALUATION), lingers=True)
    first = await attempted(row(), jobs)
    await attempted(row(intent_at=NOW, evidence=first.evidence), jobs)
    assert jobs.verbs.count("delete") == 1


async def test_a_job_left_by_another_finalizer_is_not_asked_again() -> None:
    jobs = MemoryJobs(job(EVALUATION, deletion_requested_at=NOW, finalizers=("example.com/hold",)))
    outcome = await attempted(row(intent_at=NOW), jobs)
    assert "delete" not in jobs.verbs
    assert isinstance(outcome, StillStopping)


async def test_a_deletion_that_would_orphan_the_pods_is_turned_into_one_that_does_not() -> None:
    jobs = MemoryJobs(job(EVALUATION, deletion_requested_at=NOW, finalizers=("orphan",)))
    await attempted(row(), jobs)
    assert "delete" in jobs.verbs


async def test_a_delete_whose_answer_was_lost_is_sent_again() -> None:
    jobs = MemoryJobs(job(EVALUATION))
    jobs.fail("delete", TemporaryError("connection_lost", "cut", outcome_unknown=True))
    first = await attempted(row(), jobs)
    assert isinstance(first, Retry)
    assert not first.refused
    second = await attempted(row(intent_at=NOW, evidence=first.evidence, attempt=2, errors=1), jobs)
    assert isinstance(second, StillStopping)
    assert jobs.verbs.count("delete") == 2


async def test_a_job_of_a_jobset_fails_at_once_and_is_not_deleted() -> None:
    jobs = MemoryJobs(job(EVALUATION, owned_by="JobSet/training"))
    outcome = await attempted(row(), jobs)
    assert isinstance(outcome, Failed)
    assert outcome.code == "owned_by"
    assert "JobSet/training" in outcome.detail
    assert "delete" not in jobs.verbs


async def test_a_job_of_a_jobset_never_fails_once_something_may_have_been_deleted() -> None:
    jobs = MemoryJobs(job(EVALUATION, owned_by="JobSet/training"))
    outcome = await attempted(row(intent_at=NOW), jobs)
    assert isinstance(outcome, Retry)
    assert "delete" not in jobs.verbs


async def test_a_job_of_a_jobset_that_is_on_its_way_out_is_waited_for() -> None:
    dying = job(EVALUATION, owned_by="JobSet/x", deletion_requested_at=NOW, finalizers=("foregroundDeletion",))
    assert isinstance(await attempted(row(), MemoryJobs(dying)), StillStopping)


async def test_a_job_that_had_finished_is_deleted_and_the_evidence_says_so() -> None:
    jobs = MemoryJobs(job(EVALUATION, finished="succeeded"))
    outcome = await attempted(row(), jobs)
    assert "delete" in jobs.verbs
    assert outcome.evidence.job_finished == "succeeded"


@pytest.mark.parametrize("label", ["label_of_another", str(UUID(int=9))])
async def test_a_job_that_is_labelled_for_another_evaluation_is_refused(label: str) -> None:
    jobs = MemoryJobs(job(EVALUATION, evaluation_id=label))
    outcome = await attempted(row(), jobs)
    assert isinstance(outcome, Retry)
    assert outcome.code == "label_mismatch"
    assert "delete" not in jobs.verbs


# While the uid is unknown


async def test_without_a_uid_the_job_is_found_by_its_label_and_its_own_uid_is_deleted() -> None:
    jobs = MemoryJobs(job(EVALUATION, name="other-name", uid="uid-9"))
    outcome = await attempted(row(job_uid=None), jobs)
    assert ("delete", "other-name", "uid-9") in jobs.calls
    assert outcome.evidence.job == "uid-9"


async def test_without_a_uid_a_missing_job_proves_nothing_within_its_grace() -> None:
    jobs = MemoryJobs()
    outcome = await attempted(row(job_uid=None), jobs)
    assert isinstance(outcome, StillStopping)
    assert not outcome.deleted
    assert outcome.evidence.job is None


async def test_a_job_that_never_came_is_over_after_its_grace() -> None:
    jobs = MemoryJobs()
    outcome = await attempted(row(job_uid=None, accepted_at=NOW - timedelta(seconds=601)), jobs)
    assert outcome == Gone(evidence=TeardownEvidence(job="never seen"))


async def test_a_job_under_the_name_without_a_label_is_neither_touched_nor_passed_over() -> None:
    jobs = MemoryJobs(job(EVALUATION, evaluation_id=None))
    outcome = await attempted(row(job_uid=None, accepted_at=NOW - timedelta(seconds=601)), jobs)
    assert isinstance(outcome, Retry)
    assert outcome.code == "label_missing"
    assert "delete" not in jobs.verbs


async def test_a_job_under_the_name_that_belongs_to_another_evaluation_is_not_ours() -> None:
    jobs = MemoryJobs(job(UUID(int=9)))
    outcome = await attempted(row(job_uid=None, accepted_at=NOW - timedelta(seconds=601)), jobs)
    assert isinstance(outcome, Gone)
    assert "delete" not in jobs.verbs


async def test_a_pod_with_the_label_contradicts_a_job_that_was_never_seen() -> None:
    jobs = MemoryJobs(pods={of_evaluation(EVALUATION): [A_POD]})
    outcome = await attempted(row(job_uid=None, accepted_at=NOW - timedelta(seconds=601)), jobs)
    assert isinstance(outcome, StillStopping)


async def test_a_job_once_found_by_label_is_gone_when_neither_it_nor_its_pods_are_found() -> None:
    jobs = MemoryJobs()
    outcome = await attempted(row(job_uid=None, evidence=TeardownEvidence(job="uid-9"), intent_at=NOW), jobs)
    assert isinstance(outcome, Gone)
    assert outcome.evidence.job == "uid-9"


async def test_all_jobs_with_the_label_are_deleted_when_no_uid_was_recorded() -> None:
    jobs = MemoryJobs(job(EVALUATION, name="a", uid="1"), job(EVALUATION, name="b", uid="2"), lingers=True)
    await attempted(row(job_uid=None), jobs)
    assert {("delete", "a", "1"), ("delete", "b", "2")} <= set(jobs.calls)


# Pods that are not labelled as usual


async def test_pods_of_a_job_with_a_selector_of_its_own_are_found_by_their_owner() -> None:
    jobs = MemoryJobs(job(EVALUATION, manual_selector=True), pods={"": [A_POD, replace(A_POD, owner_uid="else")]})
    first = await attempted(row(), jobs)
    assert first.evidence.manual_selector
    second = await attempted(row(intent_at=NOW, evidence=first.evidence), jobs)
    assert isinstance(second, StillStopping)
    jobs.by_selector.clear()
    third = await attempted(row(intent_at=NOW, evidence=second.evidence), jobs)
    assert isinstance(third, Gone)


async def test_a_job_never_seen_alive_may_have_had_a_selector_of_its_own() -> None:
    jobs = MemoryJobs(pods={of_evaluation(EVALUATION): [A_POD]})
    assert isinstance(await attempted(row(), jobs), StillStopping)


async def test_pods_of_a_successor_with_the_same_label_do_not_hold_up_the_end() -> None:
    jobs = MemoryJobs(pods={of_evaluation(EVALUATION): [replace(A_POD, owner_uid="uid-2")]})
    assert isinstance(await attempted(row(), jobs), Gone)


# Evidence


async def test_pods_that_the_watch_saw_go_are_in_the_evidence() -> None:
    seen = PodGone(name="job-abc", uid="pod-1", first_seen_at=NOW - timedelta(minutes=1), gone_at=NOW)
    outcome = await attempted(row(), MemoryJobs(), seen_pods=lambda uid: [seen] if uid == "uid-1" else [])
    assert outcome.evidence.pods == (seen,)
    assert outcome.evidence.pod_count == 1


async def test_without_a_watch_the_pods_of_a_stuck_job_are_asked_for_once() -> None:
    dying = job(EVALUATION, deletion_requested_at=NOW, finalizers=("foregroundDeletion",))
    jobs = MemoryJobs(dying, pods={pods_of_job("uid-1"): [A_POD]})
    early = await attempted(row(intent_at=NOW, looks=1), jobs)
    assert early.evidence.pods == ()
    later = await attempted(row(intent_at=NOW, looks=2), jobs)
    assert [pod.name for pod in later.evidence.pods] == ["job-abc"]
    await attempted(row(intent_at=NOW, looks=3, evidence=later.evidence), jobs)
    assert jobs.verbs.count("pods") == 1


async def test_at_the_end_every_pod_has_gone_and_the_first_sighting_is_kept() -> None:
    before = PodGone(name="job-abc", uid="pod-1", first_seen_at=NOW - timedelta(minutes=1))
    evidence = TeardownEvidence(job="uid-1", pods=(before,), pod_count=1)
    seen = replace(before, first_seen_at=NOW)
    outcome = await attempted(row(intent_at=NOW, evidence=evidence), MemoryJobs(), seen_pods=lambda _: [seen])
    assert outcome.evidence.pods == (replace(before, gone_at=NOW),)


async def test_evidence_names_a_hundred_pods_and_counts_the_rest() -> None:
    pods = [Pod(name=f"p{n}", uid=f"u{n}", owner_uid="uid-1") for n in range(250)]
    outcome = await attempted(row(), MemoryJobs(pods={pods_of_job("uid-1"): pods}))
    assert len(outcome.evidence.pods) == PODS_IN_EVIDENCE
    assert outcome.evidence.pod_count == 250


# When it may fail


@pytest.mark.parametrize("verb", ["get", "delete", "pods"])
async def test_a_refusal_is_first_borne_with(verb: str) -> None:
    jobs = MemoryJobs() if verb == "pods" else MemoryJobs(job(EVALUATION))
    jobs.fail(verb, Refusal("rbac_denied", "no"))
    outcome = await attempted(row(), jobs)
    assert isinstance(outcome, Retry)
    assert outcome.refused
    assert outcome.code == "rbac_denied"


@pytest.mark.parametrize("verb", ["get", "delete", "pods"])
async def test_refusals_that_last_fail_a_cancellation_that_deleted_nothing(verb: str) -> None:
    jobs = MemoryJobs() if verb == "pods" else MemoryJobs(job(EVALUATION))
    jobs.fail(verb, Refusal("rbac_denied", "no"))
    outcome = await attempted(row(refused_since=NOW - timedelta(seconds=301)), jobs)
    assert outcome == Failed(evidence=outcome.evidence, code="rbac_denied", detail="no")


@pytest.mark.parametrize("verb", ["get", "delete", "pods"])
async def test_no_refusal_fails_a_cancellation_once_something_may_have_been_deleted(verb: str) -> None:
    jobs = MemoryJobs() if verb == "pods" else MemoryJobs(job(EVALUATION))
    jobs.fail(verb, Refusal("rbac_denied", "no"))
    outcome = await attempted(row(intent_at=NOW, refused_since=NOW - timedelta(days=9)), jobs)
    assert isinstance(outcome, Retry)
    assert not outcome.refused


async def test_a_refusal_after_an_accepted_delete_in_the_same_attempt_is_no_refusal_of_the_whole() -> None:
    jobs = MemoryJobs(job(EVALUATION, name="a", uid="1"), job(EVALUATION, name="b", uid="2"), lingers=True)
    jobs.fail("delete", lambda: None, Refusal("rbac_denied", "no"))
    outcome = await attempted(row(job_uid=None, refused_since=NOW - timedelta(days=9)), jobs)
    assert isinstance(outcome, Retry)
    assert not outcome.refused


@pytest.mark.parametrize(
    "code", ["unreachable", "timeout", "throttled", "server_error", "unauthenticated", "not_kubernetes", "conflict"]
)
@pytest.mark.parametrize("verb", ["get", "delete", "pods"])
async def test_no_outage_ever_fails_a_cancellation(verb: str, code: str) -> None:
    jobs = MemoryJobs() if verb == "pods" else MemoryJobs(job(EVALUATION))
    jobs.fail(verb, TemporaryError(code, "later"))
    outcome = await attempted(row(refused_since=NOW - timedelta(days=9), errors=1000, attempt=1001), jobs)
    assert isinstance(outcome, Retry)
    assert outcome.code == code
    assert not outcome.refused
    assert outcome.retry_in <= RULES.backoff_cap


async def test_a_row_without_the_name_of_its_job_is_told_and_tried_again() -> None:
    outcome = await attempted(row(job_name=None), MemoryJobs())
    assert isinstance(outcome, Retry)
    assert outcome.code == "incomplete_job_reference"


# Pauses


async def test_looks_grow_rarer_over_the_first_minute() -> None:
    pauses = []
    for seconds in (0, 20, 60, 3600):
        dying = job(EVALUATION, deletion_requested_at=NOW, finalizers=("foregroundDeletion",))
        outcome = await attempted(row(intent_at=NOW - timedelta(seconds=seconds)), MemoryJobs(dying))
        assert isinstance(outcome, StillStopping)
        pauses.append(outcome.look_again_in)
    assert pauses == [5, 10, 30, 30]


def test_pauses_after_errors_grow_are_jittered_and_have_a_cap() -> None:
    early = {retry_pause(0, RULES) for _ in range(50)}
    assert len(early) > 1
    assert max(early) <= 1
    assert max(retry_pause(1000, RULES) for _ in range(200)) <= RULES.backoff_cap


def test_a_retry_never_comes_sooner_than_the_server_asked() -> None:
    assert all(retry_pause(0, RULES, retry_after=7.0) >= 7.0 for _ in range(50))
