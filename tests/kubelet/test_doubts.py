"""An end that nothing has proven, on a real kubelet: it is said after a wait, as presumed, with its reason."""

from __future__ import annotations

import pytest

from deploy.local.kubernetes.admin import administrator, delete_node
from deploy.local.kubernetes_kubelet.cluster import KubeletKubernetes
from tests.support.consumer.cluster_env import ClusterEnv
from tests.support.kubernetes.kubelet_case import RULES, Seen, kubelet_case, paused

pytestmark = pytest.mark.kubelet

IGNORES = 'trap "" TERM; while true; do sleep 1; done'


def is_presumed(seen: Seen, doubt: str) -> bool:
    waited = seen.cancelled >= RULES.presume_stopped_after
    return waited and not seen.evidence.stop_proven and seen.evidence.doubts == (doubt,)


async def test_a_grace_period_of_zero_removes_the_pod_before_its_process(
    cluster_env: ClusterEnv, kubernetes: KubeletKubernetes
) -> None:
    async with kubelet_case(cluster_env, kubernetes, IGNORES, grace=0) as running:
        seen = await running.cancel()
    assert seen.alive == []
    assert is_presumed(seen, "grace_zero")


async def test_a_grace_period_of_zero_on_a_kubelet_that_stands_still(
    cluster_env: ClusterEnv, kubernetes: KubeletKubernetes
) -> None:
    async with kubelet_case(cluster_env, kubernetes, IGNORES, grace=0) as running, paused(kubernetes.nodes[0], 5.0):
        seen = await running.cancel()
    assert seen.dead is not None
    assert seen.dead >= 4.0
    assert is_presumed(seen, "grace_zero")


async def test_a_forced_deletion_while_the_kubelet_runs(cluster_env: ClusterEnv, kubernetes: KubeletKubernetes) -> None:
    async with kubelet_case(cluster_env, kubernetes, IGNORES) as running:
        await running.force()
        seen = await running.cancel()
    assert is_presumed(seen, "forced")


async def test_a_forced_deletion_while_the_kubelet_stands_still(
    cluster_env: ClusterEnv, kubernetes: KubeletKubernetes
) -> None:
    async with kubelet_case(cluster_env, kubernetes, IGNORES) as running, paused(kubernetes.nodes[0], 5.0):
        await running.force()
        seen = await running.cancel()
    assert is_presumed(seen, "forced")


async def test_a_node_that_died_and_was_removed_may_run_the_process_still(
    cluster_env: ClusterEnv, kubernetes: KubeletKubernetes
) -> None:
    node = await kubernetes.add_node("node-1")
    try:
        async with kubelet_case(cluster_env, kubernetes, IGNORES, grace=2, node=node.name) as running:
            node.kubelet.kill()
            async with administrator(kubernetes.cluster) as client:
                await delete_node(client, node.name)
            seen = await running.cancel(until_dead=False)
            assert seen.alive, "the process runs on, as on a node that nobody reaches"
    finally:
        kubernetes.remove_node(node)
    assert is_presumed(seen, "node_gone")
