"""A cluster in memory, with errors on demand. Implements the port of the teardown and records its calls."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from evaluation_cancel.consumer.domain.cancellations import NodeState
from evaluation_cancel.consumer.kubernetes.port import Job, Pod


class MemoryJobs:
    """A deleted Job is gone at once, or stays with a finalizer if `lingers`. `calls` has all calls in order."""

    def __init__(self, *jobs: Job, pods: dict[str, list[Pod]] | None = None, lingers: bool = False) -> None:
        self.jobs = {job.name: job for job in jobs}
        self.by_selector = pods or {}
        self.lingers = lingers
        self.nodes: dict[str, NodeState] = {}
        self.calls: list[tuple[str, ...]] = []
        self.faults: dict[str, list[Exception | Callable[[], None]]] = {}

    def fail(self, verb: str, *faults: Exception | Callable[[], None]) -> None:
        """Make the next calls of a method raise these exceptions, or call these functions first."""
        self.faults.setdefault(verb, []).extend(faults)

    @property
    def verbs(self) -> list[str]:
        return [call[0] for call in self.calls]

    async def get(self, namespace: str, name: str) -> Job | None:  # noqa: ARG002  # holds one namespace
        self._called("get", name)
        return self.jobs.get(name)

    async def find(
        self,
        namespace: str,  # noqa: ARG002
        evaluation_id: UUID,
        seen: Collection[str] = (),
    ) -> list[Job]:
        self._called("find", str(evaluation_id))
        usual = {str(evaluation_id), str(evaluation_id).upper(), evaluation_id.hex, evaluation_id.hex.upper()}
        return [job for job in self.jobs.values() if job.evaluation_id in usual | set(seen)]

    async def delete(self, namespace: str, name: str, uid: str) -> bool:  # noqa: ARG002
        self._called("delete", name, uid)
        job = self.jobs.get(name)
        if job is None or job.uid != uid:
            return False
        if self.lingers:
            finalizers = ("foregroundDeletion",)
            self.jobs[name] = replace(job, deletion_requested_at=datetime.now(UTC), finalizers=finalizers)
        else:
            del self.jobs[name]
        return True

    async def pods(self, namespace: str, selector: str) -> list[Pod]:  # noqa: ARG002
        self._called("pods", selector)
        return list(self.by_selector.get(selector, ()))

    async def delete_pod(self, namespace: str, name: str, uid: str) -> None:  # noqa: ARG002
        self._called("delete_pod", name, uid)

    async def node_state(self, name: str) -> NodeState | None:
        self._called("node_state", name)
        return self.nodes.get(name)

    def _called(self, verb: str, *arguments: str) -> None:
        self.calls.append((verb, *arguments))
        faults = self.faults.get(verb)
        if faults:
            fault = faults.pop(0)
            if isinstance(fault, Exception):
                raise fault
            fault()


def job(evaluation: UUID, /, **changes: Any) -> Job:
    """A running Job of this evaluation."""
    given = {"namespace": "default", "name": "job", "uid": "uid-1", "evaluation_id": str(evaluation)}
    return Job(**(given | changes))
