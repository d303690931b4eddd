"""Combines the pods in a cancellation's evidence with those that the watch saw and those that a list shows. Pure.

`attempt.py` calls it; `kubernetes/watch_cache.py` keeps the pods that the watch saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from evaluation_cancel.consumer.domain.cancellations import PodGone, TeardownEvidence
from evaluation_cancel.consumer.kubernetes.port import Pod

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
    for pod in sighted:
        before = pods.get(pod.uid)
        first = min(pod.first_seen_at, before.first_seen_at) if before else pod.first_seen_at
        pods[pod.uid] = replace(pod, first_seen_at=first)
    for listed in left:
        pods.setdefault(listed.uid, PodGone(name=listed.name, uid=listed.uid, first_seen_at=moment))
    if ended:
        for uid, pod in pods.items():
            if pod.gone_at is None:
                pods[uid] = replace(pod, gone_at=moment)
    kept = tuple(sorted(pods.values(), key=lambda pod: (pod.first_seen_at, pod.name))[:PODS_IN_EVIDENCE])
    return replace(evidence, pods=kept, pod_count=max(evidence.pod_count, len(pods)))
