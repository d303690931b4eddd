"""Says in sentences what an open cancellation waits for, from its row. Pure; the command line prints them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from evaluation_cancel.consumer.domain.cancellations import PodGone, TeardownEvidence

_PODS_NAMED: Final = 5


def waits_for(
    evidence: TeardownEvidence,
    *,
    error: str | None,
    holder: str | None,
    due: datetime,
    has_cluster: bool,
    appears_until: datetime | None = None,
) -> list[str]:
    """What is in its way, the latest error first.

    `error` is that of the latest attempt, None if it had none; `holder` the process that works on it until `due`.
    A Job that was not seen yet may appear until `appears_until`.
    """
    return [
        *([f"error: {error}"] if error else []),
        *_objects(evidence, has_cluster=has_cluster, appears_until=appears_until),
        f"held by {holder} until {_time(due)}" if holder else f"next attempt at {_time(due)}",
    ]


def _objects(evidence: TeardownEvidence, *, has_cluster: bool, appears_until: datetime | None) -> Iterator[str]:
    if evidence.objects_gone_at is not None:
        yield f"no Job and no pod is left since {_time(evidence.objects_gone_at)}; waits for proof that processes ended"
        unproven = [pod for pod in evidence.pods if not pod.stopped]
        yield from (f"pod {pod.name} on {_node(pod)} was not seen to stop" for pod in unproven[:_PODS_NAMED])
        return
    if evidence.job is None and has_cluster:
        until = f" until {_time(appears_until)}" if appears_until else ""
        yield f"no Job was seen yet; one may still appear{until}"
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
    return f"pod {pod.name} on {_node(pod)} {state}{held}"


def _node(pod: PodGone) -> str:
    if pod.node is None:
        return "no node"
    return pod.node if pod.node_state is None else f"{pod.node} ({pod.node_state.replace('_', ' ')})"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"
