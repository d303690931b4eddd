"""The cluster with a real kubelet, once for the run. Without what it needs the run ends and says what that is."""

from collections.abc import AsyncIterator

import pytest

from deploy.local.errors import StandError
from deploy.local.kubernetes_kubelet.cluster import KubeletKubernetes, kubernetes_kubelet
from deploy.local.processes.process import workspace
from evaluation_cancel.consumer.kubernetes.connect import ClusterAccess, connect
from tests.support.consumer.cluster_env import ClusterEnv
from tests.support.kubernetes.raw import Raw, session_of


@pytest.fixture(scope="session")
async def kubernetes() -> AsyncIterator[KubeletKubernetes]:
    async with workspace() as work:
        try:
            async with kubernetes_kubelet(work) as started:
                yield started
        except StandError as error:
            pytest.exit(f"TEST_STACK=kubelet cannot be started. {error}", returncode=1)


@pytest.fixture
async def cluster_env(kubernetes: KubeletKubernetes) -> AsyncIterator[ClusterEnv]:
    """The namespace `default`: each test has evaluations of its own."""
    jobs = await connect(ClusterAccess(kubeconfig=kubernetes.cluster.kubeconfig, disable_strict_ssl_verification=True))
    async with session_of(kubernetes.cluster) as session:
        yield ClusterEnv(raw=Raw(session, "default"), jobs=jobs)
    await jobs.close()
