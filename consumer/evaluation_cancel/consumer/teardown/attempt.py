"""One attempt to take down the Job of a cancelled evaluation: read it, request its deletion, or prove that it is gone.

No SQL and no HTTP: it calls the port of `kubernetes/port.py` and returns an `Outcome`. `loop.py` chooses the rows and
how many run at once, and writes the outcomes.

Every Job and every pod with the evaluation's label is part of it, and the Job of the recorded uid with its pods. The
end: the recorded Job does not exist (or its name has another uid), a later list shows no Job with the label, and a
list after that no pod. Whether the processes ended as well is judged in `proof.py`. An attempt may fail only if it is
certain that nothing was deleted: never after an earlier attempt recorded its intent (`intent_at`), nor when the answer
to a DELETE was lost.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from evaluation_cancel.consumer.domain.cancellations import (
    NEVER_SEEN,
    NOT_CREATED,
    ClaimedCancellation,
    Failed,
    Gone,
    Outcome,
    Retry,
    StillStopping,
)
from evaluation_cancel.consumer.domain.errors import CancellationError, Refusal, TemporaryError
from evaluation_cancel.consumer.kubernetes.port import Job, Jobs, Pod, evaluation_of
from evaluation_cancel.consumer.teardown.findings import Findings, Watched
from evaluation_cancel.consumer.teardown.nodes import with_nodes
from evaluation_cancel.consumer.teardown.rules import TeardownRules, retry_pause

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_NOT_HELD = 1.0
_POLLS_BEFORE_NAMES = 2
_FIRST_PROOF_PAUSE = 0.5
_PODS_NAMED = 10

RecordIntent = Callable[[], Awaitable[bool]]


async def attempt(
    row: ClaimedCancellation,
    jobs: Jobs,
    record_intent: RecordIntent,
    *,
    rules: TeardownRules,
    now: Callable[[], datetime],
    watched: Watched,
) -> Outcome:
    """Runs one attempt on a claimed cancellation.

    `record_intent` must return True before anything is deleted; `now` is the database's time.
    """
    if row.cluster is None:
        return without_cluster(row, rules)
    begun = _Attempt(
        row=row,
        jobs=jobs,
        record_intent=record_intent,
        rules=rules,
        now=now,
        found=Findings(row=row, jobs=jobs, rules=rules, now=now, watched=watched, evidence=row.evidence),
        deleted=False,
        maybe_deleted=row.intent_at is not None,
    )
    if row.namespace is None or (row.job_uid is not None and row.job_name is None):
        return begun.incomplete_reference()
    return await begun.run()


def without_cluster(row: ClaimedCancellation, rules: TeardownRules) -> Outcome:
    """The outcome without a cluster's name: a Job cannot exist before the start; later it may run in any cluster."""
    if row.status_before == "created":
        return Gone(evidence=replace(row.evidence, job=NOT_CREATED, stop_proven=True))
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
    found: Findings
    deleted: bool
    """A DELETE was accepted in this attempt."""
    maybe_deleted: bool
    """A DELETE was or may have been performed, now or before."""
    confirming: bool = False
    """A list after the end of a Job showed another one in this attempt."""

    @property
    def namespace(self) -> str:
        return self.row.namespace or ""

    def incomplete_reference(self) -> Outcome:
        """The evaluation names a cluster but not the Job in it; only an operator can resolve that."""
        return self.retry(TemporaryError("incomplete_job_reference", "namespace or name of the Job is missing"))

    async def run(self) -> Outcome:
        outcome = await self.outcome()
        return replace(outcome, evidence=await with_nodes(outcome.evidence, self.jobs, self.now()))

    async def outcome(self) -> Outcome:
        try:
            return await (self.known() if self.row.job_uid else self.unknown())
        except Refusal as refusal:
            return self.refused(refusal)
        except TemporaryError as error:
            self.maybe_deleted = self.maybe_deleted or error.outcome_unknown
            return self.retry(error)

    async def known(self) -> Outcome:
        """For a recorded uid: stops this Job, and every other one with the evaluation's label."""
        uid = self.row.job_uid or ""
        self.found.note_uid(uid)
        job = await self.jobs.get(self.namespace, self.row.job_name or "")
        if job is None or job.uid != uid:
            return await self.confirm_gone(under_name=job)
        if job.evaluation_id is not None and not self.found.is_ours(job):
            raise _label_mismatch(job)
        others = await self.found.find() if self.found.may_have_more_jobs(uid) else []
        return await self.stop([job, *(other for other in others if other.uid != uid)])

    async def unknown(self) -> Outcome:
        """Without a recorded uid: every Job that carries the evaluation's label is its Job, under any name."""
        found = await self.found.find()
        if found:
            if self.found.evidence.job is None:
                self.found.note_uid(found[0].uid)
            return await self.stop(found)
        if self.found.evidence.job is None:
            # No attempt has seen a Job: it may still be created.
            age = (self.now() - self.row.accepted_at).total_seconds()
            if age < self.rules.job_create_grace:
                return self.wait(self.rules.poll_pause(age))
        named = await self.jobs.get(self.namespace, self.row.job_name) if self.row.job_name else None
        return await self.confirm_gone(under_name=named)

    async def stop(self, found: Sequence[Job]) -> Outcome:
        """Requests the deletion of existing Jobs, unless that was done before."""
        owned = next((job for job in found if job.owned_by and self.wants_delete(job)), None)
        if owned is not None:
            raise Refusal("owned_by", f"Job {owned.name} would be created again by {owned.owned_by}")
        self.found.note_jobs(found)
        gone = True
        for job in found:
            if not self.wants_delete(job):
                gone = False
                continue
            if not await self.may_write():
                return self.wait(_NOT_HELD)
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
        """True if the intent is recorded and the lease lasts longer than the call. If not, the next holder goes on."""
        return await self.record_intent() and time.monotonic() < self.row.deadline

    async def confirm_gone(self, *, under_name: Job | None = None) -> Outcome:
        """For a Job that is gone: a list of all Jobs, and after it one of all pods, decide the outcome."""
        ours = {}
        if under_name is not None:
            if self.found.is_ours(under_name):
                ours[under_name.uid] = under_name
            else:
                self.pass_over(under_name)
        ours |= {job.uid: job for job in await self.found.find()}
        if ours and self.confirming:
            return self.still_stopping(())
        if ours:
            self.confirming = True
            if self.found.evidence.job is None:
                self.found.note_uid(next(iter(ours)))
            return await self.stop(list(ours.values()))
        left = await self.found.pods_left()
        return await self.wait_for(left) if left else self.end()

    def pass_over(self, job: Job) -> None:
        """Allows a Job under the recorded name only if it is certain that it is not the evaluation's.

        With a recorded uid, another evaluation's label is certainty: names are used again. Raises `Refusal` otherwise.
        """
        if job.evaluation_id is None:
            raise Refusal("label_missing", f"Job {job.name} ({job.uid}) carries no evaluation's label")
        if self.row.job_uid is None or evaluation_of(job.evaluation_id) is None:
            raise _label_mismatch(job)

    async def wait_for(self, left: Sequence[Pod]) -> Outcome:
        """Waits for pods that are on their way out. The others keep the cancellation open, or are deleted."""
        staying = [pod for pod in left if pod.terminating_since is None]
        # The garbage collector takes the pods of a deleted Job along, but not at once.
        collected = all(self.found.is_of_our_jobs(pod) for pod in staying) and self.row.polls < _POLLS_BEFORE_NAMES
        if not staying or collected:
            return self.still_stopping(left)
        if not self.rules.delete_labelled_pods:
            self.found.note_left(left)
            raise TemporaryError("labelled_pods_left", _described(staying))
        for pod in staying:
            if not await self.may_write():
                return self.wait(_NOT_HELD)
            self.maybe_deleted = True
            await self.jobs.delete_pod(self.namespace, pod.name, pod.uid)
        return self.still_stopping(left)

    def end(self) -> Outcome:
        """For when nothing is left: the end of all processes is proven, or presumed after a wait."""
        gone_at = self.found.note_gone()
        waited = (self.now() - gone_at).total_seconds()
        evidence = self.found.concluded()
        if evidence.job is None:
            evidence = replace(evidence, job=NEVER_SEEN)
        if not evidence.doubts:
            return Gone(evidence=evidence)
        self.found.note_pods(())
        if waited < self.rules.presume_stopped_after:
            return self.wait(min(max(_FIRST_PROOF_PAUSE, waited), self.rules.presume_stopped_after - waited))
        if self.rules.insist_on_proof:
            why = ", ".join(evidence.doubts)
            raise TemporaryError("stop_not_proven", f"no Job and no pod is left, but its end was not seen: {why}")
        return Gone(evidence=evidence)

    async def unnamed_pods(self) -> list[Pod]:
        """The pods of a stuck Job, for operators; listed only if the watch has seen none."""
        if self.row.polls < _POLLS_BEFORE_NAMES or self.found.evidence.pods:
            return []
        return await self.found.pods_left()

    def still_stopping(self, left: Sequence[Pod]) -> StillStopping:
        self.found.note_left(left)
        moment = self.now()
        since = (moment - (self.row.intent_at or moment)).total_seconds()
        return self.wait(self.rules.poll_pause(since))

    def wait(self, seconds: float) -> StillStopping:
        return StillStopping(evidence=self.found.evidence, poll_again_in=seconds, deleted=self.deleted)

    def refused(self, refusal: Refusal) -> Outcome:
        if self.maybe_deleted:
            return self.retry(refusal)
        since = self.row.refused_since
        patient = since is None or (self.now() - since).total_seconds() < self.rules.refusal_patience
        if patient and refusal.code != "owned_by":
            return replace(self.retry(refusal), refused=True)
        return Failed(evidence=self.found.evidence, code=refusal.code, detail=refusal.detail)

    def retry(self, error: CancellationError) -> Retry:
        retry_after = error.retry_after if isinstance(error, TemporaryError) else None
        return Retry(
            evidence=self.found.evidence,
            code=error.code,
            detail=error.detail,
            retry_in=retry_pause(self.row.errors, self.rules, retry_after),
            refused=False,
        )


def _label_mismatch(job: Job) -> Refusal:
    return Refusal("label_mismatch", f"Job {job.name} ({job.uid}) is labelled for evaluation {job.evaluation_id!r}")


def _described(pods: Sequence[Pod]) -> str:
    named = [f"{pod.name} (of {pod.owner or 'no owner'}, on {pod.node or 'no node'})" for pod in pods[:_PODS_NAMED]]
    return f"{len(pods)} pods that no deletion of a Job takes along: {', '.join(named)}"
