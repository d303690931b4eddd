"""What the watch has seen of one cluster: which Jobs live, which of their pods, and when each pod went.

Only memory and only hints: it names pods in the evidence and tells when a look is worth while. Nothing is proven by
it. `watch.py` feeds it, `teardown/attempt.py` reads it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from evaluation_cancel.consumer.domain.cancellations import PodGone

KEPT_ENDED = 20_000


class WatchCache:
    """Jobs and pods by the Job's uid."""

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
        return tuple(self._pods.get(job_uid, {}).values())

    def job_seen(self, uid: str, evaluation_id: UUID) -> None:
        self._jobs[uid] = evaluation_id

    def job_gone(self, uid: str) -> UUID | None:
        """The evaluation, if with this Job the last is gone that stood in the way of its end."""
        evaluation_id = self._jobs.pop(uid, None)
        if evaluation_id is not None and not self._has_live_pods(uid):
            self._end(uid)
            return evaluation_id
        return None

    def pod_seen(self, job_uid: str, uid: str, name: str, evaluation_id: UUID) -> None:
        self._evaluations[job_uid] = evaluation_id
        pods = self._pods.setdefault(job_uid, {})
        if uid not in pods:
            pods[uid] = PodGone(name=name, uid=uid, first_seen_at=self._now())

    def pod_gone(self, job_uid: str, uid: str) -> UUID | None:
        """The evaluation, if with this pod the last is gone that stood in the way of its end."""
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
        """Remembers ended ones for the evidence, the last so many of them."""
        self._ended.append(job_uid)
        while len(self._ended) > self._kept_ended:
            oldest = self._ended.popleft()
            if oldest not in self._jobs and not self._has_live_pods(oldest):
                self._pods.pop(oldest, None)
                self._evaluations.pop(oldest, None)
