"""Combines the pods in a cancellation's evidence with those that the watch saw and those that a list shows. Pure.

`attempt.py` calls it; `kubernetes/watch_cache.py` keeps the pods that the watch saw, `proof.py` judges the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from evaluation_cancel.consumer.domain.cancellations import PodGone, TeardownEvidence
from evaluation_cancel.consumer.kubernetes.port import Pod
from evaluation_cancel.consumer.kubernetes.watch_cache import sighting

PODS_IN_EVIDENCE = 100


def with_pods(
    evidence: TeardownEvidence,
    sighted: Sequence[PodGone],
    left: Sequence[Pod],
    moment: datetime,
    *,
    ended: bool,
) -> TeardownEvidence:
    """The evidence with the pods that the watch saw (`sighted`) and those that are listed now (`left`).

    With `ended`, no pod is left: those without an end are gone since `moment`.
    """
    if not sighted and not left and not evidence.pods:
        return evidence
    pods = {pod.uid: pod for pod in evidence.pods}
    for pod in (*sighted, *(sighting(pod, moment) for pod in left)):
        pods[pod.uid] = _later(pods.get(pod.uid), pod)
    if ended:
        for uid, pod in pods.items():
            if pod.gone_at is None:
                pods[uid] = replace(pod, gone_at=moment)
    # The pods in doubt come first, so that none of them is cut off.
    kept = sorted(pods.values(), key=lambda pod: (pod.stopped, pod.first_seen_at, pod.name))[:PODS_IN_EVIDENCE]
    return replace(evidence, pods=tuple(kept), pod_count=max(evidence.pod_count, len(pods)))


def _later(before: PodGone | None, now: PodGone) -> PodGone:
    """What is known of a pod after two sightings. Neither its end nor that of its containers is ever taken back."""
    if before is None:
        return now
    first = min(before.first_seen_at, now.first_seen_at)
    gone_at = now.gone_at or before.gone_at
    if before.stopped and not now.stopped:
        return replace(before, first_seen_at=first, gone_at=gone_at)
    return replace(now, first_seen_at=first, gone_at=gone_at, node_state=before.node_state)
