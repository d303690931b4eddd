"""A cluster whose Jobs are gone the moment their deletion is asked for, behind the teardown's port.

It costs nothing, so that what is measured is everything around it: claims, intents, proofs and finish are the real
ones. Real clusters take down some dozens to hundreds of Jobs a second and would be all that a benchmark shows.
"""

from __future__ import annotations

from uuid import UUID

from evaluation_cancel.consumer.kubernetes.port import Job, Pod

CLUSTER = "bench"
NAMESPACE = "bench"


class InstantJobs:
    """Every Job is there until its DELETE, which finds that it has just ended by itself; no pod is ever left."""

    async def get(self, namespace: str, name: str) -> Job | None:
        """A Job's name is its evaluation's id, and so is its uid."""
        return Job(namespace=namespace, name=name, uid=name, evaluation_id=name)

    async def find(self, namespace: str, evaluation_id: UUID) -> list[Job]:
        name = str(evaluation_id)
        return [Job(namespace=namespace, name=name, uid=name, evaluation_id=name)]

    async def delete(self, namespace: str, name: str, uid: str) -> bool:  # noqa: ARG002
        return False

    async def pods(self, namespace: str, selector: str) -> list[Pod]:  # noqa: ARG002
        return []
