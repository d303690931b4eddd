"""Says in sentences what an open cancellation waits for, from its row. Pure; the command line prints them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from evaluation_cancel.consumer.domain.cancellations import PodGone, TeardownEvidence

_PODS_NAMED: Final = 5


def waits_for(
    evidence: TeardownEvidence, *, error: str | None, holder: str | None, due: datetime, has_cluster: bool
) -> list[str]:
    """What is in its way, the latest error first.

    `error` is that of the latest attempt, None if it had none; `holder` the process that works on it until `due`.
    """
    return [
        *([f"error: {error}"] if error else []),
        *_objects(evidence, has_cluster=has_cluster),
        f"held by {holder} until {_time(due)}" if holder else f"next attempt at {_time(due)}",
    ]


def _objects(evidence: TeardownEvidence, *, has_cluster: bool) -> Iterator[str]:
    if evidence.objects_gone_at is not None:
        yield f"no Job and no pod is left since {_time(evidence.objects_gone_at)}; waits for proof that processes ended"
        return
    if evidence.job is None and has_cluster:
        yield "no Job was seen yet; one may still appear"
    if evidence.job_deleted_at is not None:
        held = f", held by {', '.join(evidence.job_finalizers)}" if evidence.job_finalizers else ""
        yield f"Job {evidence.job} is being deleted since {_time(evidence.job_deleted_at)}{held}"
    left = [pod for pod in evidence.pods if pod.gone_at is None]
    yield from map(_pod, left[:_PODS_NAMED])
    if len(left) > _PODS_NAMED:
        yield f"and {len(left) - _PODS_NAMED} more pods"


def _pod(pod: PodGone) -> str:
    state = "is not being deleted"
    if pod.terminating_since is not None:
        state = f"should have ended by {_time(pod.terminating_since)}"
    held = f", held by {', '.join(pod.finalizers)}" if pod.finalizers else ""
    return f"pod {pod.name} on {pod.node or 'no node'} {state}{held}"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"
