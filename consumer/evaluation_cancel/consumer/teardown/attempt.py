"""One attempt to take down the Job of a cancelled evaluation: read it, request its deletion, or prove that it is gone.

No SQL and no HTTP: it calls the port of `kubernetes/port.py` and returns an `Outcome`. `loop.py` chooses the rows and
how many run at once, and writes the outcomes.

Proof of an end: the Job does not exist (or its name has another uid), and a later list shows no pod of its uid. One of
the two alone proves nothing. An attempt may fail only if it is certain that nothing was deleted: never after an earlier
attempt recorded its intent (`intent_at`), nor when the answer to a DELETE was lost.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from evaluation_cancel.consumer.domain.cancellations import (
    NEVER_SEEN,
    NOT_CREATED,
    ClaimedCancellation,
    Failed,
    Gone,
    Outcome,
    PodGone,
    Retry,
    StillStopping,
    TeardownEvidence,
)
from evaluation_cancel.consumer.domain.errors import CancellationError, Refusal, TemporaryError
from evaluation_cancel.consumer.kubernetes.port import (
    ANY_POD,
    CONTROLLER_UID_LABEL,
    Job,
    Jobs,
    Pod,
    of_evaluation,
    pods_of_job,
)
from evaluation_cancel.consumer.runtime.backoff import jittered_delay
from evaluation_cancel.consumer.teardown.pods import with_pods

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_NOT_HELD = 1.0
_POLLS_BEFORE_NAMES = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class TeardownRules:
    """Times in seconds."""

    job_create_grace: float = 600.0
    """How long after acceptance a Job may still appear whose uid was never recorded."""
    refusal_patience: float = 300.0
    """How long refusals must last before a cancellation fails: missing rights may be granted meanwhile."""
    min_poll_interval: float = 5.0
    """Until the next poll of a Job that has just begun to stop, unless the watch sees a change before."""
    max_poll_interval: float = 30.0
    """Until the next poll of a Job that has been stopping for a minute or more."""
    backoff_base: float = 1.0
    backoff_cap: float = 300.0
    controller_uid_label: str = CONTROLLER_UID_LABEL
    """`controller-uid` for Kubernetes before 1.27."""


RecordIntent = Callable[[], Awaitable[bool]]
SeenPods = Callable[[str], Sequence[PodGone]]


async def attempt(
    row: ClaimedCancellation,
    jobs: Jobs,
    record_intent: RecordIntent,
    *,
    rules: TeardownRules,
    now: Callable[[], datetime],
    seen_pods: SeenPods = lambda _uid: (),
) -> Outcome:
    """Runs one attempt on a claimed cancellation.

    `record_intent` must return True before anything is deleted; `seen_pods` returns the pods of a Job's uid that the
    watch saw; `now` is the database's time.
    """
    if row.cluster is None:
        return without_cluster(row, rules)
    begun = _Attempt(
        row=row,
        jobs=jobs,
        record_intent=record_intent,
        rules=rules,
        now=now,
        seen_pods=seen_pods,
        evidence=row.evidence,
        deleted=False,
        maybe_deleted=row.intent_at is not None,
    )
    if row.namespace is None or (row.job_uid is not None and row.job_name is None):
        return begun.incomplete_reference()
    return await begun.run()


def without_cluster(row: ClaimedCancellation, rules: TeardownRules) -> Outcome:
    """The outcome without a cluster's name: a Job cannot exist before the start; later it may run in any cluster."""
    if row.status_before == "created":
        return Gone(evidence=replace(row.evidence, job=NOT_CREATED))
    return Retry(
        evidence=row.evidence,
        code="incomplete_job_reference",
        detail=f"the evaluation was {row.status_before} and names no cluster; find its Job, then resolve this by hand",
        retry_in=retry_pause(row.errors, rules),
        refused=False,
    )


@dataclass(kw_only=True, slots=True)
class _Attempt:
    """The state of this attempt."""

    row: ClaimedCancellation
    jobs: Jobs
    record_intent: RecordIntent
    rules: TeardownRules
    now: Callable[[], datetime]
    seen_pods: SeenPods
    evidence: TeardownEvidence
    deleted: bool
    """A DELETE was accepted in this attempt."""
    maybe_deleted: bool
    """A DELETE was or may have been performed, now or before."""

    @property
    def namespace(self) -> str:
        return self.row.namespace or ""

    def incomplete_reference(self) -> Outcome:
        """The evaluation names a cluster but not the Job in it; only an operator can resolve that."""
        return self.retry(TemporaryError("incomplete_job_reference", "namespace or name of the Job is missing"))

    async def run(self) -> Outcome:
        try:
            return await (self.known() if self.row.job_uid else self.unknown())
        except Refusal as refusal:
            return self.refused(refusal)
        except TemporaryError as error:
            self.maybe_deleted = self.maybe_deleted or error.outcome_unknown
            return self.retry(error)

    async def known(self) -> Outcome:
        """For a recorded uid: stops this Job, and no other of the same name."""
        uid = self.row.job_uid or ""
        self.evidence = replace(self.evidence, job=uid)
        job = await self.jobs.get(self.namespace, self.row.job_name or "")
        if job is None or job.uid != uid:
            return await self.confirm_gone()
        if job.evaluation_id not in {None, str(self.row.evaluation_id)}:
            raise Refusal("label_mismatch", f"Job {job.name} is labelled for evaluation {job.evaluation_id}")
        return await self.stop([job])

    async def unknown(self) -> Outcome:
        """Without a recorded uid: every Job that carries the evaluation's label is its Job, under any name."""
        found = await self.jobs.find(self.namespace, self.row.evaluation_id)
        if found:
            self.evidence = replace(self.evidence, job=found[0].uid)
            return await self.stop(found)
        if self.evidence.job is not None:
            return await self.confirm_gone()
        return await self.never_seen()

    async def never_seen(self) -> Outcome:
        """For a Job that no attempt has seen: it may still be created until `job_create_grace` has passed."""
        age = (self.now() - self.row.accepted_at).total_seconds()
        if age < self.rules.job_create_grace:
            return StillStopping(evidence=self.evidence, poll_again_in=self.pause(age), deleted=self.deleted)
        if self.row.job_name is not None:
            job = await self.jobs.get(self.namespace, self.row.job_name)
            if job is not None and job.evaluation_id == str(self.row.evaluation_id):
                self.evidence = replace(self.evidence, job=job.uid)
                return await self.stop([job])  # created after the list
            if job is not None and job.evaluation_id is None:
                # It may be the evaluation's Job: neither delete nor ignore it.
                raise Refusal("label_missing", f"Job {job.name} carries no evaluation's label")
        left = await self.jobs.pods(self.namespace, of_evaluation(self.row.evaluation_id))
        if left:
            return self.still_stopping(left)
        return Gone(evidence=replace(self.evidence, job=NEVER_SEEN))

    async def stop(self, found: Sequence[Job]) -> Outcome:
        """Requests the deletion of existing Jobs, unless that was done before."""
        owned = next((job for job in found if job.owned_by and self.wants_delete(job)), None)
        if owned is not None:
            raise Refusal("owned_by", f"Job {owned.name} would be created again by {owned.owned_by}")
        self.note(found)
        gone = True
        for job in found:
            if not self.wants_delete(job):
                gone = False
                continue
            if not await self.may_write():
                return self.hand_back()
            accepted = await self.jobs.delete(self.namespace, job.name, job.uid)
            if accepted:
                gone, self.deleted, self.maybe_deleted = False, True, True
        if gone:
            return await self.confirm_gone()
        return self.still_stopping(await self.unnamed_pods())

    def wants_delete(self, job: Job) -> bool:
        """False while a deletion is under way: repeating it can block a Job that has other finalizers for ever."""
        if job.deletion_requested_at is None or ORPHAN in job.finalizers:
            return True
        return self.row.intent_at is None and FOREGROUND not in job.finalizers

    async def may_write(self) -> bool:
        """True if the intent is recorded and the lease lasts longer than the call."""
        return await self.record_intent() and time.monotonic() < self.row.deadline

    def note(self, found: Iterable[Job]) -> None:
        for job in found:
            finished = job.finished if job.deletion_requested_at is None else None
            self.evidence = replace(
                self.evidence,
                job_finished=self.evidence.job_finished or finished,
                manual_selector=bool(self.evidence.manual_selector) or job.manual_selector,
            )

    async def confirm_gone(self) -> Outcome:
        """For a Job that is gone: a list of its pods, made after that, decides the outcome."""
        left = await self.pods_left()
        if left:
            return self.still_stopping(left)
        return Gone(evidence=with_pods(self.evidence, self.sighted(), (), self.now(), ended=True))

    async def unnamed_pods(self) -> list[Pod]:
        """The pods of a stuck Job, for operators; listed only if the watch has seen none."""
        if self.row.polls < _POLLS_BEFORE_NAMES or self.evidence.pods or self.sighted():
            return []
        return await self.pods_left()

    async def pods_left(self) -> list[Pod]:
        uid = self.evidence.job or ""
        if self.evidence.manual_selector:
            everything = await self.jobs.pods(self.namespace, ANY_POD)
            return [pod for pod in everything if pod.owner_uid == uid]
        left = await self.jobs.pods(self.namespace, pods_of_job(uid, self.rules.controller_uid_label))
        if not left and (self.row.job_uid is None or self.evidence.manual_selector is None):
            # Pods may lack that label in two cases: several Jobs were found by the evaluation's label over time, or
            # the Job was never seen alive and may have had a selector of its own.
            labelled = await self.jobs.pods(self.namespace, of_evaluation(self.row.evaluation_id))
            left = [pod for pod in labelled if self.row.job_uid is None or pod.owner_uid == uid]
        return left

    def sighted(self) -> Sequence[PodGone]:
        return self.seen_pods(self.evidence.job) if self.evidence.job else ()

    def still_stopping(self, left: Sequence[Pod]) -> StillStopping:
        moment = self.now()
        since = (moment - (self.row.intent_at or moment)).total_seconds()
        return StillStopping(
            evidence=with_pods(self.evidence, self.sighted(), left, moment, ended=False),
            poll_again_in=self.pause(since),
            deleted=self.deleted,
        )

    def pause(self, since: float) -> float:
        """Seconds until the next poll: the interval grows over the first minute."""
        return min(self.rules.max_poll_interval, max(self.rules.min_poll_interval, since / 2))

    def hand_back(self) -> StillStopping:
        """For a claim that no longer holds: the next holder continues."""
        return StillStopping(evidence=self.evidence, poll_again_in=_NOT_HELD, deleted=self.deleted)

    def refused(self, refusal: Refusal) -> Outcome:
        if self.maybe_deleted:
            return self.retry(refusal)
        since = self.row.refused_since
        patient = since is None or (self.now() - since).total_seconds() < self.rules.refusal_patience
        if patient and refusal.code != "owned_by":
            return replace(self.retry(refusal), refused=True)
        return Failed(evidence=self.evidence, code=refusal.code, detail=refusal.detail)

    def retry(self, error: CancellationError) -> Retry:
        retry_after = error.retry_after if isinstance(error, TemporaryError) else None
        return Retry(
            evidence=self.evidence,
            code=error.code,
            detail=error.detail,
            retry_in=retry_pause(self.row.errors, self.rules, retry_after),
            refused=False,
        )


def retry_pause(errors: int, rules: TeardownRules, retry_after: float | None = None) -> float:
    """Seconds until the next attempt, never less than the server's `retry_after`."""
    pause = jittered_delay(errors, base=rules.backoff_base, cap=rules.backoff_cap, least_share=0.05)
    if retry_after is None:
        return pause
    return max(pause, jittered_delay(0, base=1.25 * retry_after, cap=1.25 * retry_after, least_share=0.8))
