"""Judges whether the end of an evaluation's processes is proven, once none of its Jobs and pods is left. Pure.

An object that is gone proves nothing: a pod can be removed from the API server while its containers go on, on a node
whose kubelet is stopped, for instance. Proven is an end if every pod was seen to stop, and no pod can have been missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from evaluation_cancel.consumer.domain.cancellations import (
    NOT_CREATED,
    ClaimedCancellation,
    Doubt,
    PodGone,
    TeardownEvidence,
)


def doubts(
    evidence: TeardownEvidence,
    row: ClaimedCancellation,
    pods: Sequence[PodGone],
    *,
    covered_since: datetime | None,
) -> tuple[Doubt, ...]:
    """The reasons why the end is not proven, each once; none if it is.

    `pods` are all pods known now. Since `covered_since`, by the database's clock, no pod came and went unseen.
    """
    if evidence.job == NOT_CREATED:
        return ()
    found: list[Doubt] = [pod.doubt or "not_seen" for pod in pods if not pod.stopped]
    if evidence.pod_count > len(pods):
        found.append("not_seen")
    if evidence.managed_by is not None:
        found.append("managed_elsewhere")
    watched = covered_since is not None and covered_since <= row.accepted_at and evidence.pods_labelled is not False
    if not watched and not evidence.pods_known:
        found.append("not_watched")
    return tuple(sorted(set(found)))
