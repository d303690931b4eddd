"""Values between the teardown loop and its store: a claimed cancellation, and the outcome of an attempt.

`teardown/attempt.py` makes the outcomes, `teardown/store.py` reads and writes both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

JobFinished = Literal["succeeded", "failed"]
Phase = Literal["accepted", "stopping"]

NEVER_SEEN = "never seen"
"""Evidence for a Job that was never found, long after the evaluation could have created it."""
NOT_CREATED = "not created"
"""Evidence for an evaluation that was cancelled before its Job could be created."""


Doubt = Literal["grace_zero", "forced", "node_gone", "not_seen", "not_watched", "managed_elsewhere", "resolved_by_hand"]
"""Why an end is presumed and not proven. `docs/states.md` explains each."""

NodeState = Literal["ready", "not_ready", "gone"]
"""Whether the kubelet of a pod's node reports, or the node's object is gone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerEnd:
    """A container that was seen terminated."""

    name: str
    exit_code: int
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PodGone:
    """A pod of the evaluation as this service saw it; `gone_at` is None while it is still there."""

    name: str
    uid: str
    first_seen_at: datetime
    gone_at: datetime | None = None
    node: str | None = None
    containers: tuple[ContainerEnd, ...] = ()
    """Those that were seen terminated, at most 20."""
    stopped: bool = False
    """No process of the pod can run: every container was seen terminated, or the pod was on no node."""
    doubt: Doubt | None = None
    """Why `stopped` is False, if the pod vanished as it was last seen."""
    node_state: NodeState | None = None
    """Of a pod that is overdue or in doubt, when it was last asked for. None: not asked, or no right to read nodes."""
    terminating_since: datetime | None = None
    finalizers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class TeardownEvidence:
    """What attempts have seen so far; passed on from attempt to attempt, and published with the outcome."""

    job: str | None = None
    """The Job's uid once known, or `NEVER_SEEN` or `NOT_CREATED`."""
    job_finished: JobFinished | None = None
    """How the Job ended, if it ended before it was deleted."""
    pods: tuple[PodGone, ...] = ()
    """At most 100."""
    pod_count: int = 0
    """All pods seen, those beyond the 100 included."""
    manual_selector: bool | None = None
    """The Job has a pod selector of its own, so its pods are found by their owner only; None until the Job was seen.
    Not published."""
    other_jobs: tuple[str, ...] = ()
    """Uids of further Jobs with the evaluation's label, at most 20."""
    pods_labelled: bool | None = None
    """Every Job seen gives its pods the evaluation's label; None until a Job was seen. Not published."""
    pods_known: bool = False
    """The watch saw all pods that its Jobs had when an attempt saw them alive. Not published."""
    managed_by: str | None = None
    """The controller in `spec.managedBy` that runs the Job elsewhere."""
    job_deleted_at: datetime | None = None
    """Since when the Job that is still there is being deleted. Not published."""
    job_finalizers: tuple[str, ...] = ()
    """What holds that Job. Not published."""
    objects_gone_at: datetime | None = None
    """When an attempt first found no Job and no pod left. Not published."""
    stop_proven: bool | None = None
    """True: no process of the evaluation can run. False: presumed, see `doubts`. None until the end."""
    doubts: tuple[Doubt, ...] = ()
    """Each reason once."""
    resolved_by: str | None = None
    """The operator who ended the cancellation by hand, without proof."""
    resolve_reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedCancellation:
    """An open cancellation, held by this process until its lease ends."""

    id: UUID
    evaluation_id: UUID
    team_id: str
    attempt: int
    """Grows with every claim; an outcome with an older number is ignored."""
    polls: int = 0
    """How many of the latest attempts in a row ended in `StillStopping`."""
    errors: int = 0
    """How many of the latest attempts in a row ended in `Retry`; the pause between attempts grows with it."""
    phase: Phase
    status_before: str
    cluster: str | None
    """None when the evaluation names none; if its status is `created`, there is no Job then."""
    namespace: str | None
    job_name: str | None
    job_uid: str | None
    accepted_at: datetime
    intent_at: datetime | None
    """When an attempt first recorded that it would send a DELETE. Something may have been deleted since then."""
    refused_since: datetime | None
    """When the unbroken series of definite refusals began."""
    evidence: TeardownEvidence = field(default_factory=TeardownEvidence)
    deadline: float
    """`time.monotonic()` after which no remote write may start: the lease's end minus the longest call."""
    clock_ahead: timedelta = timedelta(0)
    """By how much the database's clock was ahead of ours at the claim: ages and leases use the database's clock."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gone:
    """No Job and no pod of the evaluation is left. The evidence says whether the end of its processes is proven."""

    evidence: TeardownEvidence


@dataclass(frozen=True, kw_only=True, slots=True)
class StillStopping:
    """No error, but not gone yet: to be polled again, or earlier when the watch sees a change."""

    evidence: TeardownEvidence
    poll_again_in: float
    """Seconds."""
    deleted: bool
    """This attempt's DELETE was accepted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """An error that is tried again."""

    evidence: TeardownEvidence
    code: str
    detail: str
    retry_in: float
    """Seconds."""
    refused: bool
    """It is certain that neither this attempt nor an earlier one deleted anything.

    The store then keeps `refused_since` (or sets it) and removes the intent, which only this attempt can have
    recorded; any other outcome clears `refused_since`. So an `intent_at` found by a later claim always means that
    something may have been deleted, and such a cancellation never fails.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """Given up; only when it is certain that nothing was deleted."""

    evidence: TeardownEvidence
    code: str
    detail: str


Outcome = Gone | StillStopping | Retry | Failed
