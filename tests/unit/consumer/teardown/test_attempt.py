"""One attempt: what it asks of the cluster, and what it takes for proof."""

from __future__ import annotations

import time
from uuid import UUID

import pytest

from evaluation_cancel.consumer.domain.cancellations import (
    Failed,
    Gone,
    Retry,
    StillStopping,
    TeardownEvidence,
)
from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.kubernetes.port import of_evaluation
from tests.support.consumer.attempts import A_POD, EVALUATION, NOW, Seen, attempted, row
from tests.support.fakes.jobs import MemoryJobs, job


async def test_an_evaluation_without_a_cluster_has_no_job_to_stop() -> None:
    jobs = MemoryJobs()
    created = row(status_before="created", cluster=None, namespace=None, job_name=None, job_uid=None)
    outcome = await attempted(created, jobs)
    assert outcome == Gone(evidence=TeardownEvidence(job="not created", stop_proven=True))
    assert jobs.calls == []


@pytest.mark.parametrize("status", ["starting", "running"])
async def test_a_started_evaluation_without_a_cluster_is_never_reported_as_gone(status: str) -> None:
    outcome = await attempted(row(status_before=status, cluster=None), MemoryJobs())
    assert isinstance(outcome, Retry)
    assert (outcome.code, outcome.refused) == ("incomplete_job_reference", False)


async def test_a_running_job_is_deleted_once_its_intent_is_on_record() -> None:
    jobs = MemoryJobs(job(EVALUATION))
    outcome = await attempted(row(), jobs)
    assert jobs.calls == [("get", "job"), ("intent",), ("delete", "job", "uid-1")]
    assert isinstance(outcome, StillStopping)
    assert outcome.deleted
    assert outcome.evidence.job == "uid-1"


async def test_an_ordinary_cancellation_costs_two_gets_one_delete_and_two_lists() -> None:
    jobs = MemoryJobs(job(EVALUATION))
    first = await attempted(row(), jobs)
    second = await attempted(row(intent_at=NOW, evidence=first.evidence, attempt=2), jobs)
    assert isinstance(second, Gone)
    assert [verb for verb in jobs.verbs if verb != "intent"] == ["get", "delete", "get", "find", "pods"]


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
    jobs = MemoryJobs(pods={of_evaluation(EVALUATION): [A_POD]})
    outcome = await attempted(row(), jobs)
    assert isinstance(outcome, StillStopping)
    (pod,) = outcome.evidence.pods
    assert (pod.name, pod.uid, pod.first_seen_at, pod.gone_at) == ("job-abc", "pod-1", NOW, None)


async def test_an_empty_list_is_no_proof_while_the_job_is_there() -> None:
    jobs = MemoryJobs(job(EVALUATION, deletion_requested_at=NOW, finalizers=("foregroundDeletion",)))
    outcome = await attempted(row(intent_at=NOW), jobs)
    assert isinstance(outcome, StillStopping)
    assert "pods" not in jobs.verbs


async def test_the_list_that_proves_the_end_is_made_after_the_job_was_seen_gone() -> None:
    jobs = MemoryJobs()
    await attempted(row(), jobs)
    assert jobs.verbs.index("get") < jobs.verbs.index("pods")


async def test_a_job_of_another_evaluation_under_the_name_is_never_touched_and_means_ours_is_gone() -> None:
    jobs = MemoryJobs(job(UUID(int=9), uid="uid-2"))
    outcome = await attempted(row(), jobs)
    assert isinstance(outcome, Gone)
    assert outcome.evidence.job == "uid-1"
    assert "delete" not in jobs.verbs


async def test_a_job_created_again_under_the_name_with_the_label_is_stopped_too() -> None:
    jobs = MemoryJobs(job(EVALUATION, uid="uid-2"))
    outcome = await attempted(row(), jobs)
    assert isinstance(outcome, StillStopping)
    assert ("delete", "job", "uid-2") in jobs.calls
    assert (outcome.evidence.job, outcome.evidence.other_jobs) == ("uid-1", ("uid-2",))


@pytest.mark.parametrize(("label", "code"), [(None, "label_missing"), ("no-uuid", "label_mismatch")])
async def test_a_job_created_again_under_the_name_is_not_passed_over_without_a_readable_label(
    label: str | None, code: str
) -> None:
    jobs = MemoryJobs(job(EVALUATION, uid="uid-2", evaluation_id=label))
    outcome = await attempted(row(intent_at=NOW), jobs)
    assert isinstance(outcome, Retry)
    assert outcome.code == code
    assert "delete" not in jobs.verbs


async def test_a_job_replaced_between_read_and_delete_is_not_touched_with_the_uid_of_the_first() -> None:
    jobs = MemoryJobs(job(EVALUATION))
    jobs.fail("delete", lambda: jobs.jobs.update(job=job(UUID(int=9), uid="uid-2")))
    outcome = await attempted(row(), jobs)
    assert isinstance(outcome, Gone)
    assert jobs.jobs["job"].uid == "uid-2"


@pytest.mark.parametrize("spelling", [str(EVALUATION).upper(), EVALUATION.hex, str(EVALUATION).title()])
async def test_a_label_is_compared_as_a_uuid_in_any_spelling(spelling: str) -> None:
    jobs = MemoryJobs(job(EVALUATION, evaluation_id=spelling))
    assert isinstance(await attempted(row(), jobs), StillStopping)
    assert "delete" in jobs.verbs


async def test_a_second_job_beside_the_recorded_one_is_stopped_with_it_when_the_watch_saw_it() -> None:
    jobs = MemoryJobs(job(EVALUATION), job(EVALUATION, name="second", uid="uid-2"), lingers=True)
    await attempted(row(), jobs, seen=Seen(jobs={"uid-1", "uid-2"}))
    assert {("delete", "job", "uid-1"), ("delete", "second", "uid-2")} <= set(jobs.calls)


async def test_a_second_job_that_no_watch_saw_is_found_before_the_end() -> None:
    jobs = MemoryJobs(job(EVALUATION, name="second", uid="uid-2"))
    assert isinstance(await attempted(row(intent_at=NOW), jobs), StillStopping)
    assert ("delete", "second", "uid-2") in jobs.calls


async def test_a_second_job_with_an_odd_spelling_is_found_by_what_the_watch_saw() -> None:
    odd = str(EVALUATION).title()
    jobs = MemoryJobs(job(EVALUATION, name="second", uid="uid-2", evaluation_id=odd))
    await attempted(row(intent_at=NOW), jobs, seen=Seen(jobs={"uid-2"}, labels={odd}))
    assert ("delete", "second", "uid-2") in jobs.calls


async def test_a_delete_under_way_is_not_repeated() -> None:
    jobs = MemoryJobs(job(EVALUATION), lingers=True)
    first = await attempted(row(), jobs)
    await attempted(row(intent_at=NOW, evidence=first.evidence), jobs)
    assert jobs.verbs.count("delete") == 1


async def test_a_job_kept_by_another_finalizer_is_not_deleted_again() -> None:
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
