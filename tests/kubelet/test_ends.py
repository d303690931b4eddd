"""What "cancelled" proves on a real kubelet: whether a process of the evaluation runs when it is said."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import pytest

from deploy.local.kubernetes_kubelet.cluster import IMAGE, KubeletKubernetes
from evaluation_cancel.consumer.domain.cancellations import TeardownEvidence
from tests.support.consumer.cluster_env import QUICK, ClusterEnv, labelled
from tests.support.fakes.cancellations import MemoryCancellations
from tests.support.waiting import until

pytestmark = pytest.mark.kubelet

ENDS = 'trap "exit 0" TERM; sleep 1000 & wait'
IGNORES = 'trap "" TERM; while true; do sleep 1; done'
RULES = replace(QUICK, presume_stopped_after=10.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """Seconds from the cancellation on, and the evidence."""

    dead: float
    """When its last process had ended."""
    cancelled: float
    alive: Sequence[int]
    """Its processes when it was said."""
    evidence: TeardownEvidence


def container(name: str, script: str, marker: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": IMAGE, "command": ["sh", "-c", f"{script} # {marker}"], **more}


@dataclass(kw_only=True)
class Case:
    """A Job on the cluster and what becomes of it."""

    env: ClusterEnv
    kubernetes: KubeletKubernetes
    name: str
    store: MemoryCancellations
    row: Any
    loop: Any

    def processes(self) -> list[int]:
        return self.kubernetes.processes(self.name)

    async def force(self) -> None:
        """Delete its pods with a grace period of 0."""
        for pod in await self.env.raw.pods_of(self.row.job_uid):
            path = f"/api/v1/namespaces/default/pods/{pod['metadata']['name']}"
            await self.env.raw.call("DELETE", path, {"gracePeriodSeconds": 0})

    async def cancel(self) -> Seen:
        """Cancel it, and watch until both its processes and the cancellation have ended."""
        began = time.monotonic()
        self.store.rows[self.row.id] = self.row
        self.loop.nudge()
        at: dict[str, float] = {}
        alive: list[int] = []

        def over() -> bool:
            now = time.monotonic() - began
            running = self.processes()
            if self.row.ended is not None and "cancelled" not in at:
                at["cancelled"] = now
                alive.extend(running)
            if not running:
                at.setdefault("dead", now)
            return len(at) == 2

        await until(over, "its processes and the cancellation have ended", within=90)
        evidence = self.row.ended.evidence
        return Seen(dead=at["dead"], cancelled=at["cancelled"], alive=alive, evidence=evidence)


@asynccontextmanager
async def case(
    env: ClusterEnv,
    kubernetes: KubeletKubernetes,
    *scripts: str,
    grace: int = 30,
    init: str | None = None,
    sidecar: str | None = None,
    suspend: bool = False,
) -> AsyncIterator[Case]:
    """A Job whose containers run these scripts, and the teardown with its watch."""
    evaluation_id = uuid4()
    name = f"job-{evaluation_id.hex[:10]}"
    first = [container("init", init, name)] if init else []
    first += [container("sidecar", sidecar, name, restartPolicy="Always")] if sidecar else []
    label = labelled(evaluation_id)
    spec = {
        "containers": [container(f"c{number}", script, name) for number, script in enumerate(scripts)],
        "initContainers": first,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": grace,
        "automountServiceAccountToken": False,
    }
    template = {"metadata": {"labels": label["pod_labels"]}, "spec": spec}
    body = {
        "metadata": {"name": name, "labels": label["labels"]},
        "spec": {"suspend": suspend, "backoffLimit": 0, "template": template},
    }
    created = await env.raw.create(env.raw.jobs, body)
    store = MemoryCancellations()
    async with env.teardown(store, rules=RULES) as loop:
        row = env.row(evaluation_id=evaluation_id, job_name=name, job_uid=created.uid)
        made = Case(env=env, kubernetes=kubernetes, name=name, store=store, row=row, loop=loop)
        expected = 0 if suspend else 1 if init else len(scripts) + bool(sidecar)
        await until(lambda: len(made.processes()) == expected, "its processes run", within=60)
        if expected:
            await until(lambda: _reported(loop, made), "the kubelet has reported them", within=60)
        yield made


def _reported(loop: Any, made: Case) -> bool:
    """The watch has seen its pod on the node."""
    seen = loop._cluster_queues["local"].watch_cache.pods_of(made.row.evaluation_id)
    return any(pod.node and not pod.stopped for pod in seen)


@pytest.mark.parametrize(
    ("scripts", "settings", "least"),
    [
        pytest.param([ENDS], {}, 0.0, id="ends on TERM"),
        pytest.param([IGNORES], {"grace": 5}, 4.0, id="ignores TERM for 5 s"),
        pytest.param([ENDS, IGNORES], {"grace": 4}, 3.0, id="one container of two ignores it"),
        pytest.param([ENDS], {"sidecar": IGNORES, "grace": 4}, 3.0, id="a sidecar outlives the main container"),
        pytest.param([ENDS], {"init": ENDS}, 0.0, id="an init container runs"),
    ],
)
async def test_no_process_runs_when_a_cancellation_ends_as_proven(
    cluster_env: ClusterEnv, kubernetes: KubeletKubernetes, scripts: list[str], settings: dict[str, Any], least: float
) -> None:
    async with case(cluster_env, kubernetes, *scripts, **settings) as running:
        seen = await running.cancel()
    assert seen.alive == []
    assert seen.cancelled >= seen.dead >= least
    assert (seen.evidence.stop_proven, seen.evidence.doubts) == (True, ())
    assert seen.evidence.pods[0].containers


async def test_a_suspended_job_has_run_nothing_and_its_end_is_proven(
    cluster_env: ClusterEnv, kubernetes: KubeletKubernetes
) -> None:
    async with case(cluster_env, kubernetes, ENDS, suspend=True) as running:
        seen = await running.cancel()
    assert (seen.evidence.stop_proven, seen.evidence.pod_count) == (True, 0)


async def test_a_kubelet_that_stands_still_delays_the_end_until_it_reports(
    cluster_env: ClusterEnv, kubernetes: KubeletKubernetes
) -> None:
    async with case(cluster_env, kubernetes, IGNORES, grace=2) as running, paused(kubernetes, 6.0):
        seen = await running.cancel()
    assert seen.alive == []
    assert seen.dead >= 5.0
    assert seen.evidence.stop_proven


async def test_a_grace_period_of_zero_removes_the_pod_before_its_process_so_the_end_is_presumed_after_a_wait(
    cluster_env: ClusterEnv, kubernetes: KubeletKubernetes
) -> None:
    async with case(cluster_env, kubernetes, IGNORES, grace=0) as running:
        seen = await running.cancel()
    assert seen.alive == []
    assert seen.cancelled >= RULES.presume_stopped_after
    assert (seen.evidence.stop_proven, seen.evidence.doubts) == (False, ("grace_zero",))


async def test_a_forced_deletion_on_a_node_that_stands_still_is_told_as_a_doubt(
    cluster_env: ClusterEnv, kubernetes: KubeletKubernetes
) -> None:
    async with case(cluster_env, kubernetes, IGNORES) as running, paused(kubernetes, 5.0):
        await running.force()
        seen = await running.cancel()
    assert seen.cancelled >= RULES.presume_stopped_after
    assert (seen.evidence.stop_proven, seen.evidence.doubts) == (False, ("forced",))


@asynccontextmanager
async def paused(kubernetes: KubeletKubernetes, seconds: float) -> AsyncIterator[None]:
    """The kubelet stands still for so long, or until the context ends."""
    kubernetes.kubelet.pause()
    timer = asyncio.get_running_loop().call_later(seconds, kubernetes.kubelet.resume)
    try:
        yield
    finally:
        timer.cancel()
        kubernetes.kubelet.resume()
