"""The times and choices of a teardown, and the pauses that follow from them."""

from __future__ import annotations

from dataclasses import dataclass

from evaluation_cancel.consumer.domain.evaluations import EVALUATION_LABEL
from evaluation_cancel.consumer.kubernetes.port import CONTROLLER_UID_LABEL
from evaluation_cancel.consumer.runtime.backoff import jittered_delay


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
    evaluation_label: str = EVALUATION_LABEL
    presume_stopped_after: float = 30.0
    """How long to wait for proof that processes ended, after the last Job and pod were gone."""
    insist_on_proof: bool = False
    """Without proof the cancellation stays open until an operator resolves it."""
    delete_labelled_pods: bool = False
    """Delete pods with the evaluation's label that no deletion of a Job takes along."""

    def poll_pause(self, since: float) -> float:
        """Seconds until the next poll of what has been stopping for `since` seconds: it grows over the first minute."""
        return min(self.max_poll_interval, max(self.min_poll_interval, since / 2))


def retry_pause(errors: int, rules: TeardownRules, retry_after: float | None = None) -> float:
    """Seconds until the next attempt, never less than the server's `retry_after`."""
    pause = jittered_delay(errors, base=rules.backoff_base, cap=rules.backoff_cap, least_share=0.05)
    if retry_after is None:
        return pause
    return max(pause, jittered_delay(0, base=1.25 * retry_after, cap=1.25 * retry_after, least_share=0.8))
