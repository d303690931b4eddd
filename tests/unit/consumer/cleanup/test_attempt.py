"""One attempt to clean up: what goes, what stays, and that whatever stays is said."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from evaluation_cancel.consumer.cleanup.attempt import clean, retry_pause
from evaluation_cancel.consumer.domain.cleanups import (
    ClaimedCleanup,
    Cleaned,
    CleanupOutcome,
    CleanupReport,
    RetryCleanup,
)
from evaluation_cancel.consumer.domain.errors import Refusal, TemporaryError
from evaluation_cancel.consumer.s3.port import MOST_KEYS, Upload
from tests.support.fakes.artifacts import MemoryArtifacts

EVALUATION = UUID("0197c0de-0000-7000-8000-000000000001")
PREFIX = f"evals/{EVALUATION}/"
REQUEST = f"{PREFIX}request.json"
NEIGHBOUR = f"evals/{EVALUATION}0/x"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def row(**changes: Any) -> ClaimedCleanup:
    given: dict[str, Any] = {
        "id": UUID(int=7),
        "evaluation_id": EVALUATION,
        "team_id": "team",
        "attempt": 1,
        "bucket": "bucket",
        "prefix": PREFIX,
        "request_key": REQUEST,
        "deadline_at": NOW + timedelta(hours=1),
        "deadline": time.monotonic() + 3600,
    }
    return ClaimedCleanup(**(given | changes))


def some(count: int = 3) -> MemoryArtifacts:
    """That many artifacts of a byte each, the request file, and a neighbour's object."""
    return MemoryArtifacts({f"{PREFIX}out/{n}": 1 for n in range(count)} | {REQUEST: 100, NEIGHBOUR: 100})


async def cleaned(claimed: ClaimedCleanup, artifacts: MemoryArtifacts) -> CleanupOutcome:
    return await clean(claimed, artifacts, now=lambda: NOW)


async def test_all_but_the_request_file_goes() -> None:
    artifacts = some()
    outcome = await cleaned(row(), artifacts)
    assert isinstance(outcome, Cleaned)
    assert outcome.state == "done"
    assert set(artifacts.stored) == {REQUEST, NEIGHBOUR}
    assert (outcome.report.deleted_count, outcome.report.deleted_bytes) == (3, 3)
    assert [(kept.key, kept.why) for kept in outcome.report.kept] == [(REQUEST, "request_file")]
    assert outcome.report.failed_codes == {}


async def test_an_empty_folder_is_done() -> None:
    outcome = await cleaned(row(), MemoryArtifacts({}))
    assert outcome == Cleaned(report=CleanupReport(versions_retained=0), state="done")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"request_key": None}, "no_request_key"),
        ({"prefix": "evals/"}, "unsafe_prefix"),
        ({"bucket": None}, "no_artifacts_location"),
    ],
)
async def test_an_unsafe_prefix_causes_no_call_to_the_store(changes: dict[str, Any], code: str) -> None:
    artifacts = some()
    before = dict(artifacts.stored)
    outcome = await cleaned(row(**changes), artifacts)
    assert isinstance(outcome, Cleaned)
    assert outcome.state == "partial"
    assert outcome.report.failed_codes == {code: 1}
    assert artifacts.stored == before
    assert artifacts.deletes == []


async def test_no_delete_names_more_than_a_thousand_keys() -> None:
    artifacts = some(2500)
    artifacts._page = 2500
    await cleaned(row(), artifacts)
    assert [len(keys) for keys in artifacts.deletes] == [MOST_KEYS, MOST_KEYS, 500]


async def test_it_lists_again_until_nothing_is_left() -> None:
    artifacts = some()
    artifacts.busy = {f"{PREFIX}out/1": 2}
    outcome = await cleaned(row(), artifacts)
    assert isinstance(outcome, Cleaned)
    assert outcome.state == "done"
    assert outcome.report.deleted_count == 3


async def test_denied_objects_end_as_partial_and_are_reported() -> None:
    artifacts = some()
    artifacts.denied = {f"{PREFIX}out/1": "access_denied"}
    outcome = await cleaned(row(), artifacts)
    assert isinstance(outcome, Cleaned)
    assert outcome.state == "partial"
    assert outcome.report.failed_codes == {"access_denied": 1}
    assert outcome.report.failed_count == 1
    assert (f"{PREFIX}out/1", "access_denied") in [(kept.key, kept.why) for kept in outcome.report.kept]
    assert outcome.report.deleted_count == 2


async def test_a_denied_list_ends_as_partial_and_is_reported() -> None:
    artifacts = some()
    artifacts.faults = {"objects": [Refusal("access_denied", "no")]}
    outcome = await cleaned(row(), artifacts)
    assert outcome == Cleaned(report=CleanupReport(failed_codes={"access_denied": 1}), state="partial")


async def test_objects_that_stay_busy_are_tried_again_later() -> None:
    artifacts = some()
    artifacts.busy = {f"{PREFIX}out/1": 1000}
    outcome = await cleaned(row(), artifacts)
    assert isinstance(outcome, RetryCleanup)
    assert outcome.code == "slow_down"
    assert outcome.report.deleted_count == 2
    assert outcome.retry_in > 0


@pytest.mark.parametrize("verb", ["objects", "delete", "uploads"])
async def test_an_unreachable_store_is_tried_again_later(verb: str) -> None:
    artifacts = some()
    artifacts.faults = {verb: [TemporaryError("unreachable", "away")]}
    outcome = await cleaned(row(errors=1000), artifacts)
    assert isinstance(outcome, RetryCleanup)
    assert outcome.code == "unreachable"
    assert 0 < outcome.retry_in <= 300


async def test_counts_continue_those_of_earlier_attempts() -> None:
    report = CleanupReport(deleted_count=10, deleted_bytes=100, aborted_uploads=2, failed_codes={"unreachable": 1})
    outcome = await cleaned(row(report=report), some())
    assert outcome.report.deleted_count == 13
    assert outcome.report.deleted_bytes == 103
    assert outcome.report.aborted_uploads == 2
    assert outcome.report.failed_codes == {}


async def test_uploads_of_the_folder_are_aborted_and_no_others() -> None:
    artifacts = some()
    artifacts.open_uploads = [
        Upload(key=f"{PREFIX}big", upload_id="1"),
        Upload(key=NEIGHBOUR, upload_id="2"),
        Upload(key=REQUEST, upload_id="3"),
    ]
    outcome = await cleaned(row(), artifacts)
    assert [upload.upload_id for upload in artifacts.aborted] == ["1"]
    assert outcome.report.aborted_uploads == 1


@pytest.mark.parametrize(
    "fault", [Refusal("access_denied", "no"), TemporaryError("not_implemented", "a store without uploads")]
)
@pytest.mark.parametrize("verb", ["uploads", "abort"])
async def test_objects_are_deleted_even_if_uploads_may_not_be_listed_or_aborted(verb: str, fault: Exception) -> None:
    artifacts = some()
    artifacts.open_uploads = [Upload(key=f"{PREFIX}big", upload_id="1")]
    artifacts.faults = {verb: [fault]}
    outcome = await cleaned(row(), artifacts)
    assert isinstance(outcome, Cleaned)
    assert outcome.state == "partial"
    assert outcome.report.deleted_count == 3
    assert list(outcome.report.failed_codes) == [f"uploads_{fault.code}"]  # type: ignore[attr-defined]


async def test_remaining_versions_are_counted_without_those_of_the_request_file() -> None:
    artifacts = some()
    artifacts.versions = [f"{PREFIX}out/1", f"{PREFIX}out/1", REQUEST]
    outcome = await cleaned(row(), artifacts)
    assert outcome.report.versions_retained == 2


async def test_versions_that_cannot_be_counted_are_unknown_and_not_none() -> None:
    artifacts = some()
    artifacts.faults = {"old_versions": [Refusal("access_denied", "no")]}
    outcome = await cleaned(row(), artifacts)
    assert outcome.report.versions_retained is None
    assert isinstance(outcome, Cleaned)


async def test_nothing_is_deleted_after_the_lease_is_used_up_and_the_next_attempt_starts_at_once() -> None:
    artifacts = some()
    outcome = await cleaned(row(deadline=time.monotonic()), artifacts)
    assert isinstance(outcome, RetryCleanup)
    assert (outcome.code, outcome.retry_in) == ("continued", 0)
    assert artifacts.deletes == []


async def test_an_outage_past_the_deadline_ends_as_partial_and_is_reported() -> None:
    artifacts = some()
    artifacts.faults = {"objects": [TemporaryError("unreachable", "away")]}
    outcome = await cleaned(row(deadline_at=NOW), artifacts)
    assert isinstance(outcome, Cleaned)
    assert outcome.state == "partial"
    assert outcome.report.failed_codes == {"deadline": 1, "unreachable": 1}


async def test_a_key_with_dot_segments_is_kept_and_reported() -> None:
    artifacts = MemoryArtifacts({f"{PREFIX}../{UUID(int=9)}/x": 1})
    outcome = await cleaned(row(), artifacts)
    assert isinstance(outcome, Cleaned)
    assert outcome.state == "partial"
    assert artifacts.deletes == []
    assert outcome.report.failed_codes == {"unsafe_key": 1}


async def test_a_report_does_not_grow_with_the_number_of_objects_left() -> None:
    artifacts = some(5000)
    artifacts.denied = dict.fromkeys(artifacts.stored, "access_denied")
    outcome = await cleaned(row(), artifacts)
    assert outcome.report.failed_count == 5000
    assert len(outcome.report.kept) == 100
    assert outcome.report.failed_codes == {"access_denied": 5000}


def test_pauses_grow_to_a_cap_and_are_never_shorter_than_retry_after() -> None:
    assert max(retry_pause(1000) for _ in range(100)) <= 300
    assert min(retry_pause(0, retry_after=9.0) for _ in range(100)) >= 9.0
