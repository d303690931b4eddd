"""What the nodes of overdue and doubtful pods say becomes evidence, and costs an ordinary cancellation nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from evaluation_cancel.consumer.domain.cancellations import Gone, PodGone, StillStopping
from evaluation_cancel.consumer.domain.errors import Refusal
from evaluation_cancel.consumer.kubernetes.port import of_evaluation
from tests.support.consumer.attempts import A_POD, EVALUATION, NOW, RULES, Seen, attempted, row
from tests.support.fakes.jobs import MemoryJobs

LATE = NOW - timedelta(seconds=5)
ON_NODE = replace(A_POD, node="n-1")
VANISHED = PodGone(name="a", uid="1", first_seen_at=NOW, gone_at=NOW, node="n-1", doubt="forced")


async def test_the_node_of_an_overdue_pod_is_asked() -> None:
    jobs = MemoryJobs(pods={of_evaluation(EVALUATION): [replace(ON_NODE, terminating_since=LATE)]})
    jobs.nodes["n-1"] = "not_ready"
    outcome = await attempted(row(), jobs)
    assert isinstance(outcome, StillStopping)
    assert [pod.node_state for pod in outcome.evidence.pods] == ["not_ready"]


async def test_no_node_is_asked_while_a_pod_has_time_to_end() -> None:
    later = NOW + timedelta(seconds=5)
    jobs = MemoryJobs(pods={of_evaluation(EVALUATION): [replace(ON_NODE, terminating_since=later)]})
    await attempted(row(), jobs)
    assert "node_state" not in jobs.verbs


async def test_no_node_is_asked_for_pods_that_were_seen_to_stop() -> None:
    jobs = MemoryJobs()
    stopped = replace(VANISHED, stopped=True, doubt=None)
    assert isinstance(await attempted(row(), jobs, seen=Seen(pods=[stopped])), Gone)
    assert "node_state" not in jobs.verbs


async def test_a_presumed_end_says_what_the_node_told_last() -> None:
    jobs = MemoryJobs()
    jobs.nodes["n-1"] = "gone"
    rules = replace(RULES, presume_stopped_after=0.0)
    outcome = await attempted(row(), jobs, seen=Seen(pods=[VANISHED]), rules=rules)
    assert isinstance(outcome, Gone)
    assert [pod.node_state for pod in outcome.evidence.pods] == ["gone"]


async def test_a_node_that_cannot_be_read_leaves_what_was_known() -> None:
    jobs = MemoryJobs()
    jobs.nodes["n-1"] = "not_ready"
    first = await attempted(row(), jobs, seen=Seen(pods=[VANISHED]))
    jobs.fail("node_state", Refusal("rbac_denied", "no"))
    second = await attempted(row(evidence=first.evidence), jobs, seen=Seen(pods=[VANISHED]))
    assert [pod.node_state for pod in second.evidence.pods] == ["not_ready"]


async def test_at_most_five_nodes_are_asked() -> None:
    jobs = MemoryJobs()
    pods = [replace(VANISHED, uid=str(n), node=f"n-{n}") for n in range(9)]
    await attempted(row(), jobs, seen=Seen(pods=pods))
    assert jobs.verbs.count("node_state") == 5
