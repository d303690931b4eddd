"""Remembers which Jobs and pods of one cluster a watch has seen, and how each pod ended.

In memory only. It starts an early poll, and it is the only witness of how containers ended: once a pod is gone, no call
can ask for that. `watch.py` writes it, `teardown/attempt.py` reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

from evaluation_cancel.consumer.domain.cancellations import PodGone
from evaluation_cancel.consumer.kubernetes.port import Pod

KEPT_ENDED = 20_000
"""Ended evaluations whose pods are remembered."""


@dataclass(slots=True)
class _Seen:
    """What was seen of one evaluation."""

    jobs: set[str] = field(default_factory=set)
    """Uids of those alive."""
    pods: dict[str, PodGone] = field(default_factory=dict)
    labels: set[str] = field(default_factory=set)
    """Spellings of the evaluation's id on its Jobs and pods."""

    @property
    def ended(self) -> bool:
        return not self.jobs and all(pod.gone_at is not None for pod in self.pods.values())


class WatchCache:
    """The Jobs and pods of one cluster, by evaluation."""

    def __init__(
        self, *, kept_ended: int = KEPT_ENDED, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._now = now
        self._evaluations: dict[UUID, _Seen] = {}
        self._ended: dict[UUID, None] = {}
        self._kept_ended = kept_ended
        self._covered: dict[str, datetime | None] = {}

    @property
    def covered_since(self) -> datetime | None:
        """Since when no pod can have come and gone unseen. None: the watch is not there yet."""
        since = [moment for moment in self._covered.values() if moment is not None]
        return max(since) if since and len(since) == len(self._covered) else None

    def covers(self, stream: str, since: datetime | None) -> None:
        """Record since when a stream of pods has been complete; None while it is not."""
        self._covered[stream] = since

    def pods_of(self, evaluation_id: UUID) -> tuple[PodGone, ...]:
        """All pods seen of an evaluation. `gone_at` is None while a pod is there."""
        seen = self._evaluations.get(evaluation_id)
        return tuple(seen.pods.values()) if seen else ()

    def jobs_of(self, evaluation_id: UUID) -> Collection[str]:
        """The uids of its Jobs that are there."""
        seen = self._evaluations.get(evaluation_id)
        return frozenset(seen.jobs) if seen else ()

    def labels_of(self, evaluation_id: UUID) -> Collection[str]:
        """The spellings of its id that were seen on its Jobs and pods."""
        seen = self._evaluations.get(evaluation_id)
        return frozenset(seen.labels) if seen else ()

    def job_seen(self, uid: str, evaluation_id: UUID, label: str) -> None:
        """Record that the Job is there."""
        seen = self._evaluations.setdefault(evaluation_id, _Seen())
        seen.jobs.add(uid)
        seen.labels.add(label)

    def job_gone(self, uid: str, evaluation_id: UUID) -> bool:
        """True if neither a Job nor a pod of the evaluation is left."""
        seen = self._evaluations.get(evaluation_id)
        if seen is None or uid not in seen.jobs:
            return False
        seen.jobs.discard(uid)
        return self._note_end(evaluation_id, seen)

    def pod_seen(self, pod: Pod, evaluation_id: UUID) -> None:
        """Record the pod's present state."""
        seen = self._evaluations.setdefault(evaluation_id, _Seen())
        before = seen.pods.get(pod.uid)
        seen.pods[pod.uid] = sighting(pod, before.first_seen_at if before else self._now())
        if pod.evaluation_id is not None:
            seen.labels.add(pod.evaluation_id)

    def pod_gone(self, uid: str, evaluation_id: UUID, last: Pod | None) -> bool:
        """True if neither a Job nor a pod of the evaluation is left.

        `last` is the pod as it was deleted; None if it vanished unseen, so that only an end seen before counts.
        """
        seen = self._evaluations.get(evaluation_id)
        pod = seen.pods.get(uid) if seen else None
        if seen is None or pod is None or pod.gone_at is not None:
            return False
        if last is not None and not pod.stopped:
            pod = sighting(last, pod.first_seen_at)
        elif not pod.stopped and pod.doubt != "grace_zero":
            pod = replace(pod, doubt="not_seen")
        seen.pods[uid] = replace(pod, gone_at=self._now())
        return self._note_end(evaluation_id, seen)

    def _note_end(self, evaluation_id: UUID, seen: _Seen) -> bool:
        """Keep the pods of the evaluations that ended last for the evidence; drop older ones."""
        if not seen.ended:
            return False
        self._ended.pop(evaluation_id, None)
        self._ended[evaluation_id] = None
        while len(self._ended) > self._kept_ended:
            oldest = next(iter(self._ended))
            del self._ended[oldest]
            if (old := self._evaluations.get(oldest)) is not None and old.ended:
                del self._evaluations[oldest]
        return True


def sighting(pod: Pod, first_seen_at: datetime) -> PodGone:
    """The pod as evidence names it, still there."""
    return PodGone(
        name=pod.name,
        uid=pod.uid,
        first_seen_at=first_seen_at,
        node=pod.node,
        containers=pod.containers,
        stopped=pod.stopped,
        doubt=pod.doubt,
        terminating_since=pod.terminating_since,
        finalizers=pod.finalizers,
    )
