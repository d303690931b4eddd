"""What an attempt finds out about an evaluation's Jobs and pods, on top of what earlier attempts and the watch saw.

`attempt.py` fills it. Its evidence is stored with every outcome, so that the next attempt, of any process, goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from evaluation_cancel.consumer.domain.cancellations import (
    NEVER_SEEN,
    ClaimedCancellation,
    Doubt,
    PodGone,
    TeardownEvidence,
)
from evaluation_cancel.consumer.kubernetes.port import (
    ANY_POD,
    Job,
    Jobs,
    Pod,
    evaluation_of,
    of_evaluation,
    pods_of_job,
)
from evaluation_cancel.consumer.teardown.pods import with_pods
from evaluation_cancel.consumer.teardown.proof import doubts
from evaluation_cancel.consumer.teardown.rules import TeardownRules

_OTHER_JOBS = 20


class Watched(Protocol):
    """What the watch saw of an evaluation's Jobs and pods."""

    @property
    def covered_since(self) -> datetime | None:
        """Since when no pod can have come and gone unseen, by this process's clock."""

    def pods_of(self, evaluation_id: UUID) -> Sequence[PodGone]:
        """All pods seen."""

    def jobs_of(self, evaluation_id: UUID) -> Collection[str]:
        """The uids of its Jobs that are there."""

    def labels_of(self, evaluation_id: UUID) -> Collection[str]:
        """The spellings of its id on its Jobs and pods."""


@dataclass(kw_only=True, slots=True)
class Findings:
    """The evidence so far, and the calls that extend it."""

    row: ClaimedCancellation
    jobs: Jobs
    rules: TeardownRules
    now: Callable[[], datetime]
    """The database's time."""
    watched: Watched
    evidence: TeardownEvidence
    found_alive: bool = False
    """This attempt saw a Job of the evaluation."""
    labels: set[str] = field(default_factory=set)
    """Spellings of the evaluation's id on its objects: selectors compare texts."""

    @property
    def namespace(self) -> str:
        return self.row.namespace or ""

    def is_ours(self, job: Job) -> bool:
        return evaluation_of(job.evaluation_id) == self.row.evaluation_id

    def note_uid(self, uid: str) -> None:
        self.evidence = replace(self.evidence, job=uid)

    def note_jobs(self, found: Iterable[Job]) -> None:
        """Adds Jobs that are there now, and the pods that the watch saw of them."""
        self.found_alive = True
        for job in found:
            if job.evaluation_id is not None:
                self.labels.add(job.evaluation_id)
            evidence = self.evidence
            finished = job.finished if job.deletion_requested_at is None else None
            others = () if job.uid in (evidence.job, *evidence.other_jobs) else (job.uid,)
            self.evidence = replace(
                evidence,
                job_finished=evidence.job_finished or finished,
                manual_selector=bool(evidence.manual_selector) or job.manual_selector,
                other_jobs=(*evidence.other_jobs, *others)[:_OTHER_JOBS],
                pods_labelled=evidence.pods_labelled is not False and job.labels_pods,
                managed_by=evidence.managed_by or job.managed_by,
                job_deleted_at=job.deletion_requested_at,
                job_finalizers=job.finalizers,
            )
        self.note_pods(())

    def note_pods(self, left: Sequence[Pod]) -> None:
        """Adds the pods that the watch saw, and those that are `left`."""
        complete = self.found_alive and bool(self.evidence.pods_labelled) and self.watched.covered_since is not None
        evidence = with_pods(self.evidence, self.sighted(), left, self.now(), ended=False)
        self.evidence = replace(evidence, pods_known=evidence.pods_known or complete)

    def note_gone(self) -> datetime:
        """Notes that no Job and no pod is left. Returns since when that is known."""
        since = self.evidence.objects_gone_at or self.now()
        self.evidence = replace(self.evidence, objects_gone_at=since, job_deleted_at=None, job_finalizers=())
        return since

    def note_left(self, left: Sequence[Pod]) -> None:
        """Notes that pods are left, so that a wait for proof begins anew when they are gone."""
        self.evidence = replace(self.evidence, objects_gone_at=None)
        self.note_pods(left)

    def concluded(self) -> TeardownEvidence:
        """The evidence as it would be if everything is gone by now."""
        evidence = with_pods(self.evidence, self.sighted(), (), self.now(), ended=True)
        why = self._doubts(evidence)
        return replace(evidence, stop_proven=not why, doubts=why)

    def sighted(self) -> Sequence[PodGone]:
        return self.watched.pods_of(self.row.evaluation_id)

    def may_have_more_jobs(self, uid: str) -> bool:
        """The watch saw another Job beside this one."""
        return not set(self.watched.jobs_of(self.row.evaluation_id)) <= {uid}

    def is_of_our_jobs(self, pod: Pod) -> bool:
        return pod.owner_uid in self._uids

    async def find(self) -> list[Job]:
        """Read the current state of all Jobs with the evaluation's label."""
        self.labels.update(self.watched.labels_of(self.row.evaluation_id))
        return await self.jobs.find(self.namespace, self.row.evaluation_id, self.labels)

    async def pods_left(self) -> list[Pod]:
        """Read the pods with the evaluation's label and those of its Jobs, without stopped pods of other owners.

        Pods of its Jobs may lack the label, so they are looked for too, unless the watch has seen every pod stop.
        """
        uids = self._uids
        selector = of_evaluation(self.row.evaluation_id, self.labels, label=self.rules.evaluation_label)
        labelled = await self.jobs.pods(self.namespace, selector)
        left = [pod for pod in labelled if not pod.stopped or pod.owner_uid in uids]
        if left:
            return left
        if self.evidence.manual_selector:
            return [pod for pod in await self.jobs.pods(self.namespace, ANY_POD) if pod.owner_uid in uids]
        if self.concluded().doubts or not self.evidence.pods_labelled:
            for uid in sorted(uids):
                left += await self.jobs.pods(self.namespace, pods_of_job(uid, self.rules.controller_uid_label))
        return left

    @property
    def _uids(self) -> set[str]:
        return {self.evidence.job or "", *self.evidence.other_jobs} - {"", NEVER_SEEN}

    def _doubts(self, evidence: TeardownEvidence) -> tuple[Doubt, ...]:
        covered_since = self.watched.covered_since
        if covered_since is not None:
            covered_since += self.row.clock_ahead
        known = {pod.uid: pod for pod in (*self.sighted(), *evidence.pods)}
        return doubts(evidence, self.row, list(known.values()), covered_since=covered_since)
