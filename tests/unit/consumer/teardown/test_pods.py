"""One attempt: which pods hold up the end, and which of them its evidence names."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from evaluation_cancel.consumer.domain.cancellations import Gone, PodGone, Retry, StillStopping, TeardownEvidence
from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.kubernetes.port import Pod, of_evaluation
from evaluation_cancel.consumer.teardown.pods import PODS_IN_EVIDENCE
from tests.support.consumer.attempts import A_POD, EVALUATION, NOW, RULES, Seen, attempted, row
from tests.support.fakes.jobs import MemoryJobs, job

AT_ONCE = replace(RULES, presume_stopped_after=0.0)


async def test_pods_of_a_job_with_its_own_selector_are_listed_although_the_first_read_of_the_job_failed() -> None:
    jobs = MemoryJobs(pods={of_evaluation(EVALUATION): [A_POD]})
    jobs.fail("get", TemporaryError("timeout", "no answer"))
    first = await attempted(row(), jobs)
    assert isinstance(first, Retry)
    second = await attempted(row(attempt=2, evidence=first.evidence), jobs)
    assert isinstance(second, StillStopping)


async def test_pods_of_a_job_with_a_selector_of_its_own_are_found_by_their_owner() -> None:
    own = job(EVALUATION, manual_selector=True, labels_pods=False)
    jobs = MemoryJobs(own, pods={"": [A_POD, replace(A_POD, owner_uid="else")]})
    first = await attempted(row(), jobs)
    assert first.evidence.manual_selector
    second = await attempted(row(intent_at=NOW, evidence=first.evidence), jobs)
    assert isinstance(second, StillStopping)
    jobs.by_selector.clear()
    third = await attempted(row(intent_at=NOW, evidence=second.evidence), jobs, rules=AT_ONCE)
    assert isinstance(third, Gone)
    assert third.evidence.doubts == ("not_seen", "not_watched")


async def test_a_job_never_seen_alive_may_have_had_a_selector_of_its_own() -> None:
    jobs = MemoryJobs(pods={of_evaluation(EVALUATION): [A_POD]})
    assert isinstance(await attempted(row(), jobs), StillStopping)


async def test_a_pod_of_another_owner_with_the_label_keeps_the_cancellation_open() -> None:
    executor = replace(A_POD, owner="SparkApplication/app", owner_uid="uid-9", node="node-7")
    jobs = MemoryJobs(pods={of_evaluation(EVALUATION): [executor]})
    outcome = await attempted(row(), jobs)
    assert isinstance(outcome, Retry)
    assert outcome.code == "labelled_pods_left"
    assert "job-abc (of SparkApplication/app, on node-7)" in outcome.detail


async def test_a_pod_of_another_owner_that_is_on_its_way_out_is_waited_for() -> None:
    jobs = MemoryJobs(pods={of_evaluation(EVALUATION): [replace(A_POD, owner_uid=None, terminating_since=NOW)]})
    assert isinstance(await attempted(row(), jobs), StillStopping)


async def test_a_pod_of_another_owner_that_has_stopped_keeps_nothing_open() -> None:
    jobs = MemoryJobs(pods={of_evaluation(EVALUATION): [replace(A_POD, owner_uid=None, stopped=True, doubt=None)]})
    assert isinstance(await attempted(row(), jobs), Gone)


async def test_an_orphaned_pod_of_the_job_is_named_when_nothing_takes_it_along() -> None:
    jobs = MemoryJobs(pods={of_evaluation(EVALUATION): [A_POD]})
    assert isinstance(await attempted(row(intent_at=NOW), jobs), StillStopping)
    later = await attempted(row(intent_at=NOW, polls=2), jobs)
    assert isinstance(later, Retry)
    assert later.code == "labelled_pods_left"


async def test_a_setting_has_labelled_pods_deleted_once_the_intent_is_on_record() -> None:
    rules = replace(RULES, delete_labelled_pods=True)
    jobs = MemoryJobs(pods={of_evaluation(EVALUATION): [replace(A_POD, owner_uid=None)]})
    assert isinstance(await attempted(row(), jobs, rules=rules), StillStopping)
    assert jobs.calls[-2:] == [("intent",), ("delete_pod", "job-abc", "pod-1")]
    assert isinstance(await attempted(row(), jobs, rules=rules, held=False), StillStopping)
    assert jobs.calls[-1] == ("intent",)


async def test_pods_that_the_watch_saw_go_are_in_the_evidence() -> None:
    seen = PodGone(name="job-abc", uid="pod-1", first_seen_at=NOW - timedelta(minutes=1), gone_at=NOW, stopped=True)
    outcome = await attempted(row(), MemoryJobs(), seen=Seen(pods=[seen]))
    assert outcome.evidence.pods == (seen,)
    assert outcome.evidence.pod_count == 1


async def test_without_a_watch_the_pods_of_a_stuck_job_are_listed_once() -> None:
    dying = job(EVALUATION, deletion_requested_at=NOW, finalizers=("foregroundDeletion",))
    jobs = MemoryJobs(dying, pods={of_evaluation(EVALUATION): [A_POD]})
    early = await attempted(row(intent_at=NOW, polls=1), jobs)
    assert early.evidence.pods == ()
    later = await attempted(row(intent_at=NOW, polls=2), jobs)
    assert [pod.name for pod in later.evidence.pods] == ["job-abc"]
    await attempted(row(intent_at=NOW, polls=3, evidence=later.evidence), jobs)
    assert jobs.verbs.count("pods") == 1


async def test_at_the_end_every_pod_has_gone_and_the_first_sighting_is_kept() -> None:
    before = PodGone(name="job-abc", uid="pod-1", first_seen_at=NOW - timedelta(minutes=1), stopped=True)
    evidence = TeardownEvidence(job="uid-1", pods=(before,), pod_count=1)
    seen = replace(before, first_seen_at=NOW)
    outcome = await attempted(row(intent_at=NOW, evidence=evidence), MemoryJobs(), seen=Seen(pods=[seen]))
    assert outcome.evidence.pods == (replace(before, gone_at=NOW),)


async def test_evidence_names_a_hundred_pods_and_counts_the_rest() -> None:
    pods = [Pod(name=f"p{n}", uid=f"u{n}", owner_uid="uid-1") for n in range(250)]
    outcome = await attempted(row(), MemoryJobs(pods={of_evaluation(EVALUATION): pods}))
    assert len(outcome.evidence.pods) == PODS_IN_EVIDENCE
    assert outcome.evidence.pod_count == 250
