"""Remembers which Jobs and pods of one cluster a watch has seen, and when each pod was gone.

In memory only, and hints only: it names pods in the evidence and starts an early poll, but proves nothing. `watch.py`
writes it, `teardown/attempt.py` reads it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from evaluation_cancel.consumer.domain.cancellations import PodGone

KEPT_ENDED = 20_000
"""Ended Jobs whose pods are remembered."""


class WatchCache:
    """The Jobs and pods of one cluster, by the Job's uid."""

    def __init__(
        self, *, kept_ended: int = KEPT_ENDED, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._now = now
        self._jobs: dict[str, UUID] = {}
        self._pods: dict[str, dict[str, PodGone]] = {}
        self._evaluations: dict[str, UUID] = {}
        self._ended: deque[str] = deque()
        self._kept_ended = kept_ended

    def pods_of(self, job_uid: str) -> tuple[PodGone, ...]:
        """All pods seen of a Job. `gone_at` is None while a pod is alive."""
        return tuple(self._pods.get(job_uid, {}).values())

    def job_seen(self, uid: str, evaluation_id: UUID) -> None:
        """Record that the Job is alive."""
        self._jobs[uid] = evaluation_id

    def job_gone(self, uid: str) -> UUID | None:
        """Return the evaluation if neither the Job nor a pod of it is left, else None."""
        evaluation_id = self._jobs.pop(uid, None)
        if evaluation_id is not None and not self._has_live_pods(uid):
            self._end(uid)
            return evaluation_id
        return None

    def pod_seen(self, job_uid: str, uid: str, name: str, evaluation_id: UUID) -> None:
        """Record that the pod is alive."""
        self._evaluations[job_uid] = evaluation_id
        pods = self._pods.setdefault(job_uid, {})
        if uid not in pods:
            pods[uid] = PodGone(name=name, uid=uid, first_seen_at=self._now())

    def pod_gone(self, job_uid: str, uid: str) -> UUID | None:
        """Return the evaluation if neither the Job nor a pod of it is left, else None."""
        pod = self._pods.get(job_uid, {}).get(uid)
        if pod is None or pod.gone_at is not None:
            return None
        self._pods[job_uid][uid] = replace(pod, gone_at=self._now())
        if job_uid in self._jobs or self._has_live_pods(job_uid):
            return None
        self._end(job_uid)
        return self._evaluations.get(job_uid)

    def _has_live_pods(self, job_uid: str) -> bool:
        return any(pod.gone_at is None for pod in self._pods.get(job_uid, {}).values())

    def _end(self, job_uid: str) -> None:
        """Keep the pods of the latest ended Jobs for the evidence; drop older ones."""
        self._ended.append(job_uid)
        while len(self._ended) > self._kept_ended:
            oldest = self._ended.popleft()
            if oldest not in self._jobs and not self._has_live_pods(oldest):
                self._pods.pop(oldest, None)
                self._evaluations.pop(oldest, None)
