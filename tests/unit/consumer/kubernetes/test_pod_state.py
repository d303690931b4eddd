"""What a pod's object says of its processes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from evaluation_cancel.consumer.kubernetes.pod_state import parse_pod

RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
ENDED = {"terminated": {"exitCode": 143, "reason": "Error"}}
WAITING = {"waiting": {"reason": "PodInitializing"}}


def item(
    states: dict[str, dict[str, Any]],
    *,
    inits: dict[str, dict[str, Any]] | None = None,
    phase: str = "Running",
    node: str | None = "node-0",
    grace: int = 30,
    **metadata: Any,
) -> dict[str, Any]:
    inits = inits or {}
    return {
        "metadata": {"name": "p", "uid": "u", **metadata},
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": grace,
            "containers": [{"name": name} for name in states],
            "initContainers": [{"name": name} for name in inits],
        },
        "status": {
            "phase": phase,
            "containerStatuses": [{"name": name, "state": state} for name, state in states.items() if state],
            "initContainerStatuses": [{"name": name, "state": state} for name, state in inits.items()],
        },
    }


@pytest.mark.parametrize(
    ("states", "inits", "phase", "stopped"),
    [
        ({"main": RUNNING}, {}, "Running", False),
        ({"main": RUNNING}, {}, "Failed", False),  # the garbage collector of pods sets the phase first
        ({"main": ENDED}, {}, "Running", True),
        ({"main": ENDED, "second": RUNNING}, {}, "Running", False),
        ({"main": ENDED, "second": {}}, {}, "Failed", False),
        ({"main": ENDED}, {"sidecar": RUNNING}, "Running", False),
        ({"main": ENDED}, {"sidecar": ENDED}, "Failed", True),
        ({"main": WAITING}, {"init": RUNNING}, "Pending", False),
        ({"main": WAITING}, {"init": ENDED}, "Pending", False),
        ({"main": WAITING}, {"init": ENDED}, "Failed", True),
        ({}, {}, "Failed", False),
    ],
)
def test_a_pod_has_stopped_when_the_kubelet_reported_each_of_its_containers(
    states: dict[str, Any], inits: dict[str, Any], phase: str, stopped: bool
) -> None:
    pod = parse_pod(item(states, inits=inits, phase=phase))
    assert pod.stopped is stopped
    assert (pod.doubt is None) is stopped


def test_a_pod_that_never_had_a_node_ran_nothing() -> None:
    assert parse_pod(item({"main": {}}, phase="Pending", node=None)).stopped


def test_a_container_that_waits_for_its_restart_may_run_again() -> None:
    waiting = item({"main": WAITING}, phase="Failed")
    waiting["status"]["containerStatuses"][0]["containerID"] = "containerd://abc"
    assert not parse_pod(waiting).stopped


def test_a_phase_written_by_the_garbage_collector_of_pods_proves_nothing() -> None:
    collected = item({"main": WAITING}, inits={"init": ENDED}, phase="Failed")
    collected["status"]["conditions"] = [{"type": "DisruptionTarget", "reason": "DeletionByPodGC", "status": "True"}]
    pod = parse_pod(collected)
    assert (pod.stopped, pod.doubt) == (False, "node_gone")


def test_the_reason_of_a_doubt_is_named() -> None:
    assert parse_pod(item({"main": RUNNING}, grace=0)).doubt == "grace_zero"
    assert parse_pod(item({"main": RUNNING}, deletionGracePeriodSeconds=0)).doubt == "forced"
    assert parse_pod(item({"main": RUNNING}, deletionGracePeriodSeconds=30)).doubt == "not_seen"


def test_exit_codes_owner_and_node_are_kept() -> None:
    owner = {"kind": "SparkApplication", "name": "app", "uid": "o", "controller": True}
    pod = parse_pod(item({"main": ENDED}, ownerReferences=[owner], deletionTimestamp="2026-01-01T00:00:00Z"))
    assert [(end.name, end.exit_code, end.reason) for end in pod.containers] == [("main", 143, "Error")]
    assert (pod.owner, pod.owner_uid, pod.node) == ("SparkApplication/app", "o", "node-0")
    assert pod.terminating_since == datetime(2026, 1, 1, tzinfo=UTC)
