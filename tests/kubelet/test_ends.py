"""An end that is said to be proven, on a real kubelet: no process of the evaluation runs when it is said."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.local.kubernetes_kubelet.cluster import KubeletKubernetes
from tests.support.consumer.cluster_env import ClusterEnv
from tests.support.kubernetes.kubelet_case import kubelet_case, paused

pytestmark = pytest.mark.kubelet

ENDS = 'trap "exit 0" TERM; sleep 1000 & wait'
IGNORES = 'trap "" TERM; while true; do sleep 1; done'


@pytest.mark.parametrize(
    ("scripts", "settings", "least"),
    [
        pytest.param([ENDS], {}, 0.0, id="ends on TERM"),
        pytest.param([IGNORES], {"grace": 5}, 4.0, id="ignores TERM for 5 s"),
        pytest.param([IGNORES], {"grace": 30}, 29.0, id="ignores TERM for 30 s"),
        pytest.param([ENDS, IGNORES], {"grace": 4}, 3.0, id="one container of two ignores it"),
        pytest.param([ENDS], {"sidecar": IGNORES, "grace": 4}, 3.0, id="a sidecar outlives the main container"),
        pytest.param([ENDS], {"init": ENDS}, 0.0, id="an init container runs"),
    ],
)
async def test_no_process_runs_when_a_cancellation_ends_as_proven(
    cluster_env: ClusterEnv, kubernetes: KubeletKubernetes, scripts: list[str], settings: dict[str, Any], least: float
) -> None:
    async with kubelet_case(cluster_env, kubernetes, *scripts, **settings) as running:
        seen = await running.cancel()
    assert seen.alive == []
    assert seen.dead is not None
    assert seen.cancelled >= seen.dead >= least
    assert (seen.evidence.stop_proven, seen.evidence.doubts) == (True, ())
    assert seen.evidence.pods[0].containers


async def test_a_suspended_job_has_run_nothing_and_its_end_is_proven(
    cluster_env: ClusterEnv, kubernetes: KubeletKubernetes
) -> None:
    async with kubelet_case(cluster_env, kubernetes, ENDS, suspend=True) as running:
        seen = await running.cancel()
    assert (seen.evidence.stop_proven, seen.evidence.pod_count) == (True, 0)


async def test_a_kubelet_that_stands_still_delays_the_end_until_it_reports(
    cluster_env: ClusterEnv, kubernetes: KubeletKubernetes
) -> None:
    node = kubernetes.nodes[0]
    async with kubelet_case(cluster_env, kubernetes, IGNORES, grace=2) as running, paused(node, 6.0):
        seen = await running.cancel()
    assert seen.alive == []
    assert seen.dead is not None
    assert seen.dead >= 5.0
    assert seen.evidence.stop_proven


async def test_the_processes_of_a_job_created_again_under_the_name_are_dead_too(
    cluster_env: ClusterEnv, kubernetes: KubeletKubernetes
) -> None:
    async with kubelet_case(cluster_env, kubernetes, ENDS) as running:
        await cluster_env.raw.call(
            "DELETE", f"{cluster_env.raw.jobs}/{running.name}", {"propagationPolicy": "Background"}
        )
        await running.runs(0)
        again = await cluster_env.raw.create(cluster_env.raw.jobs, running.body)
        await running.runs(1)
        seen = await running.cancel()
    assert again.uid != running.row.job_uid
    assert seen.alive == []
    assert (seen.evidence.stop_proven, seen.evidence.doubts) == (True, ())
