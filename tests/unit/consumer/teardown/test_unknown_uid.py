"""One attempt at a Job whose uid was never recorded: found by its label, or waited for."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from evaluation_cancel.consumer.domain.cancellations import Gone, Retry, StillStopping, TeardownEvidence
from evaluation_cancel.consumer.kubernetes.port import of_evaluation
from tests.support.consumer.attempts import A_POD, EVALUATION, NOW, attempted, row
from tests.support.fakes.jobs import MemoryJobs, job


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
    assert isinstance(outcome, Gone)
    assert (outcome.evidence.job, outcome.evidence.stop_proven) == ("never seen", True)


async def test_a_job_under_the_name_without_a_label_is_neither_touched_nor_passed_over() -> None:
    jobs = MemoryJobs(job(EVALUATION, evaluation_id=None))
    outcome = await attempted(row(job_uid=None, accepted_at=NOW - timedelta(seconds=601)), jobs)
    assert isinstance(outcome, Retry)
    assert outcome.code == "label_missing"
    assert "delete" not in jobs.verbs


async def test_a_job_under_the_name_with_the_label_of_another_evaluation_is_refused_by_name() -> None:
    jobs = MemoryJobs(job(UUID(int=9)))
    outcome = await attempted(row(job_uid=None, accepted_at=NOW - timedelta(seconds=601)), jobs)
    assert isinstance(outcome, Retry)
    assert outcome.code == "label_mismatch"
    assert "Job job (uid-1)" in outcome.detail
    assert "delete" not in jobs.verbs


async def test_a_pod_with_the_label_contradicts_a_job_that_was_never_seen() -> None:
    jobs = MemoryJobs(pods={of_evaluation(EVALUATION): [A_POD]})
    outcome = await attempted(row(job_uid=None, accepted_at=NOW - timedelta(seconds=601)), jobs)
    assert isinstance(outcome, StillStopping | Retry)
    assert outcome.evidence.job is None


async def test_a_job_once_found_by_label_is_gone_when_neither_it_nor_its_pods_are_found() -> None:
    jobs = MemoryJobs()
    outcome = await attempted(row(job_uid=None, evidence=TeardownEvidence(job="uid-9"), intent_at=NOW), jobs)
    assert isinstance(outcome, Gone)
    assert outcome.evidence.job == "uid-9"


async def test_all_jobs_with_the_label_are_deleted_when_no_uid_was_recorded() -> None:
    jobs = MemoryJobs(job(EVALUATION, name="a", uid="1"), job(EVALUATION, name="b", uid="2"), lingers=True)
    await attempted(row(job_uid=None), jobs)
    assert {("delete", "a", "1"), ("delete", "b", "2")} <= set(jobs.calls)


async def test_a_job_that_appears_between_the_last_list_and_the_last_read_is_stopped() -> None:
    late = row(job_uid=None, accepted_at=NOW - timedelta(hours=1))
    jobs = MemoryJobs()
    jobs.fail("get", lambda: jobs.jobs.update(job=job(EVALUATION)))
    outcome = await attempted(late, jobs)
    assert isinstance(outcome, StillStopping)
    assert outcome.evidence.job == "uid-1"
    assert jobs.verbs == ["find", "get", "find", "intent", "delete"]
