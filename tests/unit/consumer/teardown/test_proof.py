"""When the end of an evaluation's processes counts as proven, and what becomes of a cancellation when it does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation_cancel.consumer.domain.cancellations import Doubt, Gone, PodGone, Retry, StillStopping, TeardownEvidence
from evaluation_cancel.consumer.teardown.proof import doubts
from tests.support.consumer.attempts import EVALUATION, NOW, RULES, Seen, attempted, row
from tests.support.fakes.jobs import MemoryJobs, job

ENDED = PodGone(name="a", uid="pod-1", first_seen_at=NOW, gone_at=NOW, stopped=True)
FORCED = PodGone(name="b", uid="pod-2", first_seen_at=NOW, gone_at=NOW, doubt="forced")


async def test_an_end_is_proven_when_the_watch_saw_every_pod_stop() -> None:
    outcome = await attempted(row(), MemoryJobs(), seen=Seen(pods=[ENDED]))
    assert isinstance(outcome, Gone)
    assert (outcome.evidence.stop_proven, outcome.evidence.doubts) == (True, ())


@pytest.mark.parametrize("doubt", ["grace_zero", "forced", "node_gone", "not_seen"])
async def test_an_end_in_doubt_is_waited_for_and_then_presumed_with_its_reason(doubt: Doubt) -> None:
    seen = Seen(pods=[ENDED, replace(FORCED, doubt=doubt)])
    first = await attempted(row(), MemoryJobs(), seen=seen)
    assert isinstance(first, StillStopping)
    assert first.evidence.objects_gone_at == NOW
    late = NOW + timedelta(seconds=RULES.presume_stopped_after)
    last = await attempted(row(evidence=first.evidence), MemoryJobs(), seen=seen, now=late)
    assert isinstance(last, Gone)
    assert (last.evidence.stop_proven, last.evidence.doubts) == (False, (doubt,))
    assert [pod.doubt for pod in last.evidence.pods] == [doubt, None]


async def test_a_report_of_the_containers_during_the_wait_proves_the_end_at_once() -> None:
    first = await attempted(row(), MemoryJobs(), seen=Seen(pods=[replace(FORCED, gone_at=None)]))
    second = await attempted(
        row(evidence=first.evidence), MemoryJobs(), seen=Seen(pods=[replace(FORCED, stopped=True, doubt=None)])
    )
    assert isinstance(second, Gone)
    assert second.evidence.stop_proven


async def test_a_team_that_insists_on_proof_keeps_the_cancellation_open_without_it() -> None:
    rules = replace(RULES, insist_on_proof=True, presume_stopped_after=0.0)
    outcome = await attempted(row(), MemoryJobs(), seen=Seen(pods=[FORCED]), rules=rules)
    assert isinstance(outcome, Retry)
    assert outcome.code == "stop_not_proven"
    assert "forced" in outcome.detail


async def test_an_end_that_no_watch_saw_is_presumed() -> None:
    rules = replace(RULES, presume_stopped_after=0.0)
    outcome = await attempted(row(), MemoryJobs(), seen=Seen(covered_since=None), rules=rules)
    assert isinstance(outcome, Gone)
    assert outcome.evidence.doubts == ("not_watched",)


async def test_a_watch_that_began_after_the_cancellation_proves_the_end_of_a_job_seen_alive() -> None:
    late = Seen(covered_since=NOW, pods=[replace(ENDED, gone_at=None, stopped=False, doubt="not_seen")])
    first = await attempted(row(), MemoryJobs(job(EVALUATION)), seen=late)
    assert first.evidence.pods_known
    last = await attempted(
        row(intent_at=NOW, evidence=first.evidence), MemoryJobs(), seen=Seen(covered_since=NOW, pods=[ENDED])
    )
    assert isinstance(last, Gone)
    assert last.evidence.stop_proven


async def test_a_pod_that_ended_between_two_processes_leaves_a_doubt() -> None:
    alive = Seen(covered_since=NOW, pods=[replace(ENDED, gone_at=None, stopped=False, doubt="not_seen")])
    first = await attempted(row(), MemoryJobs(job(EVALUATION)), seen=alive)
    rules = replace(RULES, presume_stopped_after=0.0)
    last = await attempted(
        row(intent_at=NOW, evidence=first.evidence), MemoryJobs(), seen=Seen(covered_since=NOW), rules=rules
    )
    assert isinstance(last, Gone)
    assert last.evidence.doubts == ("not_seen",)


async def test_a_job_run_by_another_cluster_is_never_proven_to_have_stopped() -> None:
    first = await attempted(row(), MemoryJobs(job(EVALUATION, managed_by="kueue.x-k8s.io/multikueue")))
    rules = replace(RULES, presume_stopped_after=0.0)
    last = await attempted(row(intent_at=NOW, evidence=first.evidence), MemoryJobs(), rules=rules)
    assert isinstance(last, Gone)
    assert last.evidence.doubts == ("managed_elsewhere",)
    assert last.evidence.managed_by == "kueue.x-k8s.io/multikueue"


async def test_pods_without_the_label_are_not_seen_by_the_watch_so_their_end_is_presumed() -> None:
    first = await attempted(row(), MemoryJobs(job(EVALUATION, labels_pods=False)))
    rules = replace(RULES, presume_stopped_after=0.0)
    last = await attempted(row(intent_at=NOW, evidence=first.evidence), MemoryJobs(), rules=rules)
    assert isinstance(last, Gone)
    assert last.evidence.doubts == ("not_watched",)


PODS = st.lists(
    st.builds(lambda n, stopped: replace(ENDED, uid=f"p{n}", stopped=stopped), st.integers(), st.booleans())
)


@given(PODS, st.booleans(), st.integers(min_value=0, max_value=3))
def test_no_end_is_proven_with_a_pod_that_was_not_seen_to_stop(pods: list[PodGone], known: bool, unnamed: int) -> None:
    evidence = TeardownEvidence(job="uid-1", pod_count=len(pods) + unnamed, pods_known=known, pods_labelled=True)
    proven = not doubts(evidence, row(), pods, covered_since=None)
    assert proven == (known and unnamed == 0 and all(pod.stopped for pod in pods))
