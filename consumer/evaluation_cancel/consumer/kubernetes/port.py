"""What the teardown needs of Kubernetes: six calls, and a few facts about Jobs and pods.

The rules on what the facts prove are in `teardown/attempt.py`; `jobs.py` implements the calls on an API server.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from evaluation_cancel.consumer.domain.cancellations import ContainerEnd, Doubt, JobFinished, NodeState
from evaluation_cancel.consumer.domain.evaluations import EVALUATION_LABEL

CONTROLLER_UID_LABEL = "batch.kubernetes.io/controller-uid"
"""Label that the Job controller sets on its pods. Before Kubernetes 1.27 it is `controller-uid`."""
ANY_POD = ""
"""The label selector of all pods."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """The fields of a Job that the teardown needs."""

    namespace: str
    name: str
    uid: str
    evaluation_id: str | None
    """The label's text, which may not be a UUID. None: no label."""
    finished: JobFinished | None = None
    owned_by: str | None = None
    """`Kind/name` of the controller that would create the Job again. None: no controller, or a CronJob."""
    suspended: bool = False
    manual_selector: bool = False
    """Its pods need not carry the label of `pods_of_job`."""
    deletion_requested_at: datetime | None = None
    finalizers: tuple[str, ...] = ()
    labels_pods: bool = True
    """Its pod template carries the label of the same evaluation."""
    managed_by: str | None = None
    """The controller outside this cluster's own that runs it (`spec.managedBy`): its pods may be in another cluster."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pod:
    """A pod that the API server still lists, in any phase."""

    name: str
    uid: str
    evaluation_id: str | None = None
    """The label's text, which may not be a UUID. None: no label."""
    owner: str | None = None
    """`Kind/name` of its controller."""
    owner_uid: str | None = None
    node: str | None = None
    terminating_since: datetime | None = None
    """When its deletion was requested, its grace period included. None: it was not."""
    finalizers: tuple[str, ...] = ()
    containers: tuple[ContainerEnd, ...] = ()
    """Those that the kubelet reported as terminated."""
    stopped: bool = False
    """No process of it can run: every container was reported as terminated, or it is on no node."""
    doubt: Doubt | None = None
    """Why its processes may go on if it vanishes in this state; None if `stopped`."""


def pods_of_job(uid: str, label: str = CONTROLLER_UID_LABEL) -> str:
    """The label selector of a Job's pods, unless the Job has a manual selector."""
    return f"{label}={uid}"


def of_evaluation(evaluation_id: UUID, seen: Collection[str] = (), *, label: str = EVALUATION_LABEL) -> str:
    """The label selector of an evaluation's Jobs and pods.

    A selector compares texts, so it names the usual spellings of the UUID and those that were `seen` on its objects.
    """
    usual = (str(evaluation_id), str(evaluation_id).upper(), evaluation_id.hex, evaluation_id.hex.upper())
    return f"{label} in ({','.join(dict.fromkeys((*usual, *sorted(seen))))})"


def evaluation_of(text: str | None) -> UUID | None:
    """The evaluation that a label's text names, in any spelling of its UUID. None: no label, or no UUID."""
    try:
        return UUID(text or "")
    except ValueError:
        return None


class Jobs(Protocol):
    """The Jobs and pods of one cluster. Every call has a timeout.

    Raises `TemporaryError` when the result is unknown or the call may work later, `Refusal` when the server forbids it.
    """

    async def get(self, namespace: str, name: str) -> Job | None:
        """Read the Job's current state. None: no Job has this name."""

    async def find(self, namespace: str, evaluation_id: UUID, seen: Collection[str] = ()) -> list[Job]:
        """Read the current state of all Jobs with the evaluation's label, in the usual spellings and those `seen`."""

    async def delete(self, namespace: str, name: str, uid: str) -> bool:
        """Request the deletion of the Job with this uid, its pods first. False: that Job is gone already."""

    async def pods(self, namespace: str, selector: str) -> list[Pod]:
        """Read all pods that match, from the current state and not from a cache."""

    async def delete_pod(self, namespace: str, name: str, uid: str) -> None:
        """Request the deletion of the pod with this uid, with the grace period of its spec."""

    async def node_state(self, name: str) -> NodeState | None:
        """Whether the node's kubelet reports, read in the last seconds. None: it cannot be read."""


Change = Literal["appeared", "ended"]
"""A Job of the evaluation appeared; or its last Job or pod is gone."""
OnChange = Callable[[UUID, Change], None]
"""Called with the evaluation's id."""
