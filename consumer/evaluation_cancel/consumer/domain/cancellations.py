"""Values that pass between the store and the loop that takes Jobs down: what is claimed, and what came of it.

No I/O and no rules here: `teardown/attempt.py` makes the outcomes, `store/` reads and writes them.
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
"""Evidence for an evaluation that had not come to the point of having a Job."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PodGone:
    """A pod of the Job as this service saw it; `gone_at` is None while it is still there."""

    name: str
    uid: str
    first_seen_at: datetime
    gone_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TeardownEvidence:
    """What has been seen so far; carried from attempt to attempt, and published with the outcome."""

    job: str | None = None
    """The Job's uid once known, or `NEVER_SEEN` or `NOT_CREATED`."""
    job_finished: JobFinished | None = None
    """How the Job had ended by itself before it was deleted, if it had."""
    pods: tuple[PodGone, ...] = ()
    """At most 100."""
    pod_count: int = 0
    """All pods seen, those beyond the 100 included."""
    manual_selector: bool | None = None
    """The Job chose its own pod selector, so its pods are found by their owner only; None until the Job was seen.
    Not published."""
    resolved_by: str | None = None
    """The operator who closed it by hand, vouching for what could not be proven."""
    resolve_reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedCancellation:
    """An open cancellation, held by this process until its lease ends."""

    id: UUID
    evaluation_id: UUID
    team_id: str
    attempt: int
    """Grows with every claim; a finish with an older number is ignored."""
    looks: int = 0
    """How many claims in a row, up to the last, ended in `StillStopping`."""
    errors: int = 0
    """How many claims in a row, up to the last, ended in `Retry`; the pause between them grows with it."""
    phase: Phase
    status_before: str
    cluster: str | None
    """None: the evaluation names none. With the status `created` there is no Job then."""
    namespace: str | None
    job_name: str | None
    job_uid: str | None
    accepted_at: datetime
    intent_at: datetime | None
    """When the first DELETE was about to be sent. From then on something may have been deleted."""
    refused_since: datetime | None
    """Since when every attempt has ended in a definite refusal."""
    evidence: TeardownEvidence = field(default_factory=TeardownEvidence)
    deadline: float
    """`time.monotonic()` after which no remote write may start: the lease's end less the longest call."""
    clock_ahead: timedelta = timedelta(0)
    """How far the database's clock was ahead of ours at the claim: ages are counted by the database's, like leases."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gone:
    """Proven: the Job is gone and no pod of its uid is left."""

    evidence: TeardownEvidence


@dataclass(frozen=True, kw_only=True, slots=True)
class StillStopping:
    """Nothing wrong, only not finished: to be looked at again, or woken by the watch before that."""

    evidence: TeardownEvidence
    look_again_in: float
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

    The store then keeps `refused_since` (or sets it) and takes back the intent, which only this attempt can have
    recorded; any other outcome clears `refused_since`. So an `intent_at` found by a later claim always means that
    something may have been deleted, and such a cancellation never fails.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """Given up, which is only done when it is certain that nothing was deleted."""

    evidence: TeardownEvidence
    code: str
    detail: str


Outcome = Gone | StillStopping | Retry | Failed


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """A cancellation to be opened by the command that was accepted."""

    id: UUID
    evaluation_id: UUID
    team_id: str
    command_source: str
    command_id: str
    actor_kind: str
    actor_id: str
    reason: str | None
    status_before: str
    cluster: str | None
    requested_at: datetime | None
    traceparent: str | None
    correlation_id: str | None
    cleanup: bool
