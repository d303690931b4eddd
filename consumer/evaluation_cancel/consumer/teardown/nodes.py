"""Adds to the evidence what the nodes say whose pods are overdue or in doubt: whether their kubelets still report.

A pod that stays beyond its grace period on a node that is not ready waits for that node, and no retry helps.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Final

from evaluation_cancel.consumer.domain.cancellations import NodeState, PodGone, TeardownEvidence
from evaluation_cancel.consumer.domain.errors import CancellationError
from evaluation_cancel.consumer.kubernetes.port import Jobs

_MOST_NODES: Final = 5


async def with_nodes(evidence: TeardownEvidence, jobs: Jobs, moment: datetime) -> TeardownEvidence:
    """The evidence with the state of at most five nodes. A node that cannot be read leaves it as it is."""
    asked = [pod for pod in evidence.pods if _is_in_question(pod, moment)]
    names = list(dict.fromkeys(pod.node for pod in asked if pod.node))[:_MOST_NODES]
    if not names:
        return evidence
    states = dict(zip(names, await asyncio.gather(*(_state(jobs, name) for name in names)), strict=True))
    pods = [
        replace(pod, node_state=states.get(pod.node or "") or pod.node_state) if pod in asked else pod
        for pod in evidence.pods
    ]
    return replace(evidence, pods=tuple(pods))


def _is_in_question(pod: PodGone, moment: datetime) -> bool:
    if pod.stopped:
        return False
    return pod.gone_at is not None or (pod.terminating_since is not None and pod.terminating_since < moment)


async def _state(jobs: Jobs, name: str) -> NodeState | None:
    try:
        return await jobs.node_state(name)
    except CancellationError:
        return None
