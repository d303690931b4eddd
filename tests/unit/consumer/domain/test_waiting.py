"""What operators read of an open cancellation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from evaluation_cancel.consumer.domain.cancellations import PodGone, TeardownEvidence
from evaluation_cancel.consumer.domain.waiting import waits_for

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def sentences(evidence: TeardownEvidence, **changes: Any) -> list[str]:
    given: dict[str, Any] = {"error": None, "holder": None, "due": NOW, "has_cluster": True}
    return waits_for(evidence, **(given | changes))


def test_the_latest_error_comes_first_and_the_holder_last() -> None:
    said = sentences(TeardownEvidence(job="uid"), error="rbac_denied: no", holder="worker-1")
    assert said == ["error: rbac_denied: no", "held by worker-1 until 2026-01-01 12:00:00Z"]


def test_a_job_that_finalizers_hold_is_named_with_them() -> None:
    evidence = TeardownEvidence(job="uid", job_deleted_at=NOW, job_finalizers=("foregroundDeletion", "example.com/x"))
    assert (
        "Job uid is being deleted since 2026-01-01 12:00:00Z, held by foregroundDeletion, example.com/x"
        in sentences(evidence)
    )


def test_pods_that_are_left_are_named_with_their_node_and_gone_ones_are_not() -> None:
    stuck = PodGone(name="a", uid="1", first_seen_at=NOW, node="n-1", terminating_since=NOW, finalizers=("f",))
    running = PodGone(name="b", uid="2", first_seen_at=NOW)
    gone = PodGone(name="c", uid="3", first_seen_at=NOW, gone_at=NOW)
    said = sentences(TeardownEvidence(job="uid", pods=(stuck, running, gone)))
    assert said[:2] == [
        "pod a on n-1 should have ended by 2026-01-01 12:00:00Z, held by f",
        "pod b on no node is not being deleted",
    ]
    assert len(said) == 3


def test_more_pods_than_a_line_holds_are_counted() -> None:
    pods = tuple(PodGone(name=f"p{n}", uid=str(n), first_seen_at=NOW) for n in range(9))
    assert "and 4 more pods" in sentences(TeardownEvidence(job="uid", pods=pods))


def test_a_wait_for_the_job_and_a_wait_for_proof_are_told_apart() -> None:
    assert sentences(TeardownEvidence())[0] == "no Job was seen yet; one may still appear"
    assert "waits for proof" in sentences(TeardownEvidence(job="uid", objects_gone_at=NOW))[0]
    assert len(sentences(TeardownEvidence(), has_cluster=False)) == 1


def test_a_job_that_was_not_seen_may_appear_until_a_time_that_is_named() -> None:
    assert sentences(TeardownEvidence(), appears_until=NOW)[0].endswith("may still appear until 2026-01-01 12:00:00Z")


def test_the_state_of_a_node_stands_beside_its_name() -> None:
    overdue = PodGone(name="a", uid="1", first_seen_at=NOW, node="n-1", node_state="not_ready", terminating_since=NOW)
    said = sentences(TeardownEvidence(job="uid", pods=(overdue,)))
    assert said[0] == "pod a on n-1 (not ready) should have ended by 2026-01-01 12:00:00Z"


def test_a_wait_for_proof_names_the_pods_that_were_not_seen_to_stop() -> None:
    lost = PodGone(name="a", uid="1", first_seen_at=NOW, gone_at=NOW, node="n-1", node_state="gone", doubt="forced")
    seen = PodGone(name="b", uid="2", first_seen_at=NOW, gone_at=NOW, stopped=True)
    said = sentences(TeardownEvidence(job="uid", objects_gone_at=NOW, pods=(lost, seen)))
    assert said[1] == "pod a on n-1 (gone) was not seen to stop"
    assert len(said) == 3
