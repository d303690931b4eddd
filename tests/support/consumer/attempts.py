"""Runs one teardown attempt on a claimed row, with Jobs in memory."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from evaluation_cancel.consumer.domain.cancellations import ClaimedCancellation, Outcome
from evaluation_cancel.consumer.kubernetes.port import Pod
from evaluation_cancel.consumer.teardown.attempt import TeardownRules, attempt
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


async def attempted(claimed: ClaimedCancellation, jobs: MemoryJobs, *, held: bool = True, **seen: Any) -> Outcome:
    """Run one attempt at the time `NOW`."""
    return await attempt(claimed, jobs, Intents(jobs, held=held), rules=RULES, now=lambda: NOW, **seen)
