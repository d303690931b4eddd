"""Takes down Jobs that appear after their evaluation was cancelled, because their creator did not check in time.

A slow sweep over the labelled Jobs of each cluster. The published outcome of the cancellation does not change. The late
Job is recorded with the cancellation before its deletion, so a crash in between leaves a record too many rather than
one too few. Safe to run in several processes at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

import structlog

from evaluation_cancel.consumer.domain.errors import CancellationError
from evaluation_cancel.consumer.kubernetes.port import Job
from evaluation_cancel.consumer.runtime.loop import Loop
from evaluation_cancel.consumer.sql import cancellation_errors
from evaluation_cancel.consumer.sql.database import Database

_log = structlog.get_logger(__name__)


class LabelledJobs(Protocol):
    """What the sweep needs from one cluster."""

    async def labelled(self) -> list[Job]:
        """All Jobs that carry an evaluation's label, without their specs."""

    async def delete(self, namespace: str, name: str, uid: str) -> bool:
        """Requests the deletion of the Job with that uid, its pods first. False if it no longer exists."""


class LateJobs(Loop):
    """The loop. `every` is the number of seconds between sweeps."""

    def __init__(self, *, database: Database, clusters: Mapping[str, LabelledJobs], every: float = 60.0) -> None:
        super().__init__()
        self._database = database
        self._clusters = clusters
        self._every = every

    async def run(self) -> None:
        """Sweeps every cluster until stopped."""
        while self.next_round():
            for name, jobs in self._clusters.items():
                await self._sweep(name, jobs)
                self.progressed()
            await self.wait(self._every)

    async def _sweep(self, cluster: str, jobs: LabelledJobs) -> None:
        """Sweeps one cluster. Neither its outage nor a refused deletion stops the sweep of the rest."""
        try:
            late = await self.late(await jobs.labelled())
        except CancellationError as error:
            _log_skipped(cluster, error)
            return
        for job, evaluation_id, cancellation_id in late:
            self.progressed()
            try:
                await self._take_down(cluster, jobs, job, evaluation_id, cancellation_id)
            except CancellationError as error:
                _log_skipped(cluster, error, job=f"{job.namespace}/{job.name}")

    async def late(self, found: Sequence[Job]) -> list[tuple[Job, UUID, UUID]]:
        """The Jobs whose evaluation was cancelled, each with the evaluation's id and the cancellation's id."""
        candidates = {(job, identity) for job in found if (identity := _evaluation(job)) is not None}
        if not candidates:
            return []
        async with self._database.connection() as tx:
            ended = await cancellation_errors.that_cancelled(tx, sorted({identity for _, identity in candidates}))
        return [(job, identity, ended[identity]) for job, identity in candidates if identity in ended]

    async def _take_down(
        self, cluster: str, jobs: LabelledJobs, job: Job, evaluation_id: UUID, cancellation_id: UUID
    ) -> None:
        async with self._database.connection() as tx:
            detail = f"Job {job.namespace}/{job.name} ({job.uid}) ran after the evaluation was cancelled; deleted"
            await cancellation_errors.remember_late_job(tx, cancellation_id, detail)
        await jobs.delete(job.namespace, job.name, job.uid)
        _log.warning(
            "A Job that appeared after its evaluation was cancelled is taken down.",
            action="late_job",
            cluster=cluster,
            namespace=job.namespace,
            job=job.name,
            uid=job.uid,
            evaluation_id=str(evaluation_id),
            cancellation_id=str(cancellation_id),
        )


def _evaluation(job: Job) -> UUID | None:
    """The evaluation of a Job; None without a valid label, for a Job being deleted, or for one with an owner."""
    if job.deletion_requested_at is not None or job.owned_by is not None:
        return None
    try:
        return UUID(job.evaluation_id or "")
    except ValueError:
        return None


def _log_skipped(cluster: str, error: CancellationError, **ids: str) -> None:
    _log.warning(
        "The sweep for late Jobs failed.",
        action="late_jobs_skipped",
        cluster=cluster,
        code=error.code,
        detail=error.detail,
        **ids,
    )
