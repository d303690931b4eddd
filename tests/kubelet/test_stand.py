"""A stand with a kubelet disturbs no other one on the machine, and leaves nothing behind, even if it is killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import psutil
import pytest

from deploy.local.kubernetes_kubelet.cluster import KubeletKubernetes
from tests.support.consumer.cluster_env import ClusterEnv
from tests.support.kubernetes.kubelet_case import kubelet_case
from tests.support.waiting import until

pytestmark = pytest.mark.kubelet

ENDS = 'trap "exit 0" TERM; sleep 1000 & wait'
# A stand in a process of its own with one pod: says where it works and that the pod runs, then waits to be killed.
STAND = """
import asyncio
from deploy.local.kubernetes.admin import administrator
from deploy.local.kubernetes_kubelet.cluster import kubernetes_kubelet
from deploy.local.kubernetes_kubelet.node import IMAGE
from deploy.local.processes.process import workspace
from kubernetes_asyncio.client import CoreV1Api

async def main():
    async with workspace() as work, kubernetes_kubelet(work) as kubernetes:
        container = {"name": "c", "image": IMAGE, "command": ["sh", "-c", "sleep 1000; true # other-stand"]}
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [container], "automountServiceAccountToken": False}}
        async with administrator(kubernetes.cluster) as client:
            await CoreV1Api(client).create_namespaced_pod("default", pod)
        while not kubernetes.processes("other-stand"):
            await asyncio.sleep(0.05)
        print(work.directory, flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


def processes_of(directory: str) -> list[str]:
    """The command lines that name something in the directory, and those of the other stand's pod."""
    lines = [" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]
    return [line for line in lines if f"{directory}/" in line or "other-stand" in line]


def cgroups_of(directory: str) -> list[Path]:
    return list(Path("/sys/fs/cgroup").glob(f"**/{Path(directory).name}"))


async def test_a_second_stand_that_is_killed_leaves_nothing_and_the_first_one_alone(
    cluster_env: ClusterEnv, kubernetes: KubeletKubernetes
) -> None:
    async with kubelet_case(cluster_env, kubernetes, ENDS) as running:
        before = running.processes()
        stand = await asyncio.create_subprocess_exec(
            sys.executable, "-c", STAND, stdout=asyncio.subprocess.PIPE, start_new_session=True
        )
        assert stand.stdout is not None
        try:
            async with asyncio.timeout(120):
                directory = (await stand.stdout.readline()).decode().strip()
            assert processes_of(directory)
            assert cgroups_of(directory)
        finally:
            stand.kill()
            await stand.wait()
        await until(lambda: not processes_of(directory), "its processes have ended", within=60)
        await until(lambda: not Path(directory).exists(), "its directory is gone", within=60)
        mounts = await asyncio.to_thread(Path("/proc/self/mounts").read_text)
        assert directory not in mounts
        await until(lambda: not cgroups_of(directory), "its cgroups are gone", within=60)
        assert running.processes() == before
        await running.cancel()
