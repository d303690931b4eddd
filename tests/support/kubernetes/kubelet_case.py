"""A Job on a real kubelet, its cancellation, and when its processes ended."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from deploy.local.kubernetes_kubelet.cluster import KubeletKubernetes
from deploy.local.kubernetes_kubelet.node import IMAGE, Node
from evaluation_cancel.consumer.domain.cancellations import TeardownEvidence
from tests.support.consumer.cluster_env import QUICK, ClusterEnv, labelled
from tests.support.fakes.cancellations import MemoryCancellations
from tests.support.waiting import until

_log = logging.getLogger(__name__)
RULES = replace(QUICK, presume_stopped_after=10.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """Seconds from the cancellation on, and the evidence."""

    dead: float | None
    """When its last process had ended; None if one still ran when nothing more was waited for."""
    cancelled: float
    alive: Sequence[int]
    """Its processes when it was said."""
    evidence: TeardownEvidence


@dataclass(kw_only=True)
class Case:
    """A Job on the cluster and what becomes of it."""

    env: ClusterEnv
    kubernetes: KubeletKubernetes
    name: str
    body: dict[str, Any]
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

    async def runs(self, expected: int) -> None:
        """Wait until so many of its processes run and the watch has seen them reported."""
        await until(lambda: len(self.processes()) == expected, "its processes run", within=60)
        if expected:
            await until(self._is_reported, "the kubelet has reported them", within=60)

    async def cancel(self, *, until_dead: bool = True) -> Seen:
        """Cancel it and watch until the cancellation has ended, and, if wished, its processes too."""
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
            return "cancelled" in at and ("dead" in at or not until_dead)

        await until(over, "its processes and the cancellation have ended", within=180)
        evidence = self.row.ended.evidence
        gone = [(each.gone_at - self.row.accepted_at).total_seconds() for each in evidence.pods if each.gone_at]
        _log.info("seconds until: %s, pods gone %s; %s", at, gone, evidence.doubts or "proven")
        return Seen(dead=at.get("dead"), cancelled=at["cancelled"], alive=alive, evidence=evidence)

    def _is_reported(self) -> bool:
        seen = self.loop._cluster_queues["local"].watch_cache.pods_of(self.row.evaluation_id)
        return any(pod.node and not pod.stopped for pod in seen)


@asynccontextmanager
async def kubelet_case(
    env: ClusterEnv,
    kubernetes: KubeletKubernetes,
    *scripts: str,
    grace: int = 30,
    init: str | None = None,
    sidecar: str | None = None,
    suspend: bool = False,
    node: str | None = None,
) -> AsyncIterator[Case]:
    """A Job whose containers run these scripts, and the teardown with its watch."""
    evaluation_id = uuid4()
    name = f"job-{evaluation_id.hex[:10]}"
    first = [_container("init", init, name)] if init else []
    first += [_container("sidecar", sidecar, name, restartPolicy="Always")] if sidecar else []
    label = labelled(evaluation_id)
    spec = {
        "containers": [_container(f"c{number}", script, name) for number, script in enumerate(scripts)],
        "initContainers": first,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": grace,
        "automountServiceAccountToken": False,
        "nodeName": node,
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
        made = Case(env=env, kubernetes=kubernetes, name=name, body=body, store=store, row=row, loop=loop)
        await made.runs(0 if suspend else 1 if init else len(scripts) + bool(sidecar))
        yield made


@asynccontextmanager
async def paused(node: Node, seconds: float) -> AsyncIterator[None]:
    """The kubelet stands still for so long, or until the context ends."""
    node.kubelet.pause()
    timer = asyncio.get_running_loop().call_later(seconds, node.kubelet.resume)
    try:
        yield
    finally:
        timer.cancel()
        node.kubelet.resume()


def _container(name: str, script: str, marker: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": IMAGE, "command": ["sh", "-c", f"{script} # {marker}"], **more}
