"""Runs one teardown attempt on a claimed row, with Jobs in memory."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from evaluation_cancel.consumer.domain.cancellations import ClaimedCancellation, Outcome, PodGone
from evaluation_cancel.consumer.kubernetes.port import Pod
from evaluation_cancel.consumer.teardown.attempt import attempt
from evaluation_cancel.consumer.teardown.rules import TeardownRules
from tests.support.fakes.jobs import MemoryJobs

EVALUATION = UUID("0197c0de-0000-7000-8000-000000000001")
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
RULES = TeardownRules()
A_POD = Pod(name="job-abc", uid="pod-1", owner_uid="uid-1")


def row(**changes: Any) -> ClaimedCancellation:
    """A claim of a running evaluation's cancellation."""
    given: dict[str, Any] = {
        "id": UUID(int=7),
        "evaluation_id": EVALUATION,
        "team_id": "team",
        "attempt": 1,
        "phase": "stopping",
        "status_before": "running",
        "cluster": "local",
        "namespace": "default",
        "job_name": "job",
        "job_uid": "uid-1",
        "accepted_at": NOW - timedelta(seconds=1),
        "intent_at": None,
        "refused_since": None,
        "deadline": time.monotonic() + 3600,
    }
    return ClaimedCancellation(**(given | changes))


class Intents:
    """Records intents in the list of calls, so that tests can check their order. `held=False`: the claim is lost."""

    def __init__(self, jobs: MemoryJobs, *, held: bool = True) -> None:
        self.jobs = jobs
        self.held = held

    async def __call__(self) -> bool:
        self.jobs.calls.append(("intent",))
        return self.held


@dataclass(kw_only=True)
class Seen:
    """What the watch saw. By default it has been there since before the cancellation, and saw no pod."""

    covered_since: datetime | None = NOW - timedelta(days=1)
    pods: Sequence[PodGone] = ()
    jobs: Collection[str] = ()
    labels: Collection[str] = ()

    def pods_of(self, evaluation_id: UUID) -> Sequence[PodGone]:
        return self.pods if evaluation_id == EVALUATION else ()

    def jobs_of(self, evaluation_id: UUID) -> Collection[str]:
        return self.jobs if evaluation_id == EVALUATION else ()

    def labels_of(self, evaluation_id: UUID) -> Collection[str]:
        return self.labels if evaluation_id == EVALUATION else ()


async def attempted(
    claimed: ClaimedCancellation,
    jobs: MemoryJobs,
    *,
    held: bool = True,
    seen: Seen | None = None,
    rules: TeardownRules = RULES,
    now: datetime = NOW,
) -> Outcome:
    """Run one attempt at the time `now`."""
    intents = Intents(jobs, held=held)
    return await attempt(claimed, jobs, intents, rules=rules, now=lambda: now, watched=seen or Seen())
