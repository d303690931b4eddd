"""The port to Kubernetes Jobs: the few facts and the four calls that taking a Job down needs.

The rules on what the facts prove are in `teardown/attempt.py`; the implementation that speaks to a real API server is
in `jobs.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from evaluation_cancel.consumer.domain.cancellations import JobFinished

EVALUATION_LABEL = "evaluations.vijil.ai/evaluation-id"
"""On every Job of an evaluation and on its pod template."""
CONTROLLER_UID_LABEL = "batch.kubernetes.io/controller-uid"
"""Put on its pods by the Job controller; before Kubernetes 1.27 it is `controller-uid`."""
ANY_POD = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What matters of a Job. Everything else in it, which can be large, is not kept."""

    namespace: str
    name: str
    uid: str
    evaluation_id: str | None
    """The label as it stands there; None without one."""
    finished: JobFinished | None = None
    owned_by: str | None = None
    """`Kind/name` of a controller that would create the Job again; None for none and for a CronJob."""
    suspended: bool = False
    manual_selector: bool = False
    deletion_requested_at: datetime | None = None
    finalizers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Pod:
    """A pod that the API server still lists, in whatever phase."""

    name: str
    uid: str
    owner_uid: str | None = None
    """Its controller's uid, which is the Job's."""


def pods_of_job(uid: str, label: str = CONTROLLER_UID_LABEL) -> str:
    """The label selector of a Job's pods, unless it has a selector of its own making."""
    return f"{label}={uid}"


def of_evaluation(evaluation_id: UUID) -> str:
    """The label selector of an evaluation's Jobs, and of its pods."""
    return f"{EVALUATION_LABEL}={evaluation_id}"


class Jobs(Protocol):
    """One cluster. Every call ends within its own timeout.

    Raises `TemporaryError` when the answer is not known or says "later", and `Refusal` when it says "no".
    """

    async def get(self, namespace: str, name: str) -> Job | None:
        """The Job of that name as it is now, or None if there is none."""

    async def find(self, namespace: str, evaluation_id: UUID) -> list[Job]:
        """All Jobs that carry the evaluation's label, as they are now."""

    async def delete(self, namespace: str, name: str, uid: str) -> bool:
        """Ask for that very Job to be deleted, its pods first. False: that Job is gone, nothing was asked."""

    async def pods(self, namespace: str, selector: str) -> list[Pod]:
        """All pods that match, as they are now and not as some cache remembers them."""


Change = Literal["appeared", "ended"]


OnChange = Callable[[UUID, Change], None]
