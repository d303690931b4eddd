"""One attempt that ends in an error: when it may fail, and how long it waits before the next."""

from __future__ import annotations

from datetime import timedelta

import pytest

from evaluation_cancel.consumer.domain.cancellations import Failed, Retry, StillStopping
from evaluation_cancel.consumer.domain.errors import Refusal, TemporaryError
from evaluation_cancel.consumer.teardown.rules import retry_pause
from tests.support.consumer.attempts import EVALUATION, NOW, RULES, attempted, row
from tests.support.fakes.jobs import MemoryJobs, job


@pytest.mark.parametrize("verb", ["get", "delete", "pods"])
async def test_a_first_refusal_is_tried_again(verb: str) -> None:
    jobs = MemoryJobs() if verb == "pods" else MemoryJobs(job(EVALUATION))
    jobs.fail(verb, Refusal("rbac_denied", "no"))
    outcome = await attempted(row(), jobs)
    assert isinstance(outcome, Retry)
    assert outcome.refused
    assert outcome.code == "rbac_denied"


@pytest.mark.parametrize("verb", ["get", "delete", "pods"])
async def test_refusals_that_last_fail_a_cancellation_that_deleted_nothing(verb: str) -> None:
    jobs = MemoryJobs() if verb == "pods" else MemoryJobs(job(EVALUATION))
    jobs.fail(verb, Refusal("rbac_denied", "no"))
    outcome = await attempted(row(refused_since=NOW - timedelta(seconds=301)), jobs)
    assert outcome == Failed(evidence=outcome.evidence, code="rbac_denied", detail="no")


@pytest.mark.parametrize("verb", ["get", "delete", "pods"])
async def test_no_refusal_fails_a_cancellation_once_something_may_have_been_deleted(verb: str) -> None:
    jobs = MemoryJobs() if verb == "pods" else MemoryJobs(job(EVALUATION))
    jobs.fail(verb, Refusal("rbac_denied", "no"))
    outcome = await attempted(row(intent_at=NOW, refused_since=NOW - timedelta(days=9)), jobs)
    assert isinstance(outcome, Retry)
    assert not outcome.refused


async def test_a_refusal_after_an_accepted_delete_in_the_same_attempt_is_no_refusal_of_the_whole() -> None:
    jobs = MemoryJobs(job(EVALUATION, name="a", uid="1"), job(EVALUATION, name="b", uid="2"), lingers=True)
    jobs.fail("delete", lambda: None, Refusal("rbac_denied", "no"))
    outcome = await attempted(row(job_uid=None, refused_since=NOW - timedelta(days=9)), jobs)
    assert isinstance(outcome, Retry)
    assert not outcome.refused


@pytest.mark.parametrize(
    "code", ["unreachable", "timeout", "throttled", "server_error", "unauthenticated", "not_kubernetes", "conflict"]
)
@pytest.mark.parametrize("verb", ["get", "delete", "pods"])
async def test_no_outage_ever_fails_a_cancellation(verb: str, code: str) -> None:
    jobs = MemoryJobs() if verb == "pods" else MemoryJobs(job(EVALUATION))
    jobs.fail(verb, TemporaryError(code, "later"))
    outcome = await attempted(row(refused_since=NOW - timedelta(days=9), errors=1000, attempt=1001), jobs)
    assert isinstance(outcome, Retry)
    assert outcome.code == code
    assert not outcome.refused
    assert outcome.retry_in <= RULES.backoff_cap


async def test_a_row_without_the_name_of_its_job_is_reported_and_tried_again() -> None:
    outcome = await attempted(row(job_name=None), MemoryJobs())
    assert isinstance(outcome, Retry)
    assert outcome.code == "incomplete_job_reference"


async def test_polls_become_rarer_over_the_first_minute() -> None:
    pauses = []
    for seconds in (0, 20, 60, 3600):
        dying = job(EVALUATION, deletion_requested_at=NOW, finalizers=("foregroundDeletion",))
        outcome = await attempted(row(intent_at=NOW - timedelta(seconds=seconds)), MemoryJobs(dying))
        assert isinstance(outcome, StillStopping)
        pauses.append(outcome.poll_again_in)
    assert pauses == [5, 10, 30, 30]


def test_pauses_after_errors_grow_are_jittered_and_have_a_cap() -> None:
    early = {retry_pause(0, RULES) for _ in range(50)}
    assert len(early) > 1
    assert max(early) <= 1
    assert max(retry_pause(1000, RULES) for _ in range(200)) <= RULES.backoff_cap


def test_a_retry_is_never_earlier_than_the_servers_retry_after() -> None:
    assert all(retry_pause(0, RULES, retry_after=7.0) >= 7.0 for _ in range(50))
