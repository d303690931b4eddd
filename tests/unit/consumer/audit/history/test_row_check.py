"""A cancellation's row is held against each of its events, column by column, for as long as the row is kept."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import orjson
import pytest

from evaluation_cancel.consumer.audit.history.row_check import differences
from evaluation_cancel.consumer.domain.audit_rows import CancellationRow
from evaluation_cancel.consumer.domain.cancellations import TeardownEvidence
from evaluation_cancel.consumer.domain.cleanups import CleanupReport, KeptObject
from evaluation_cancel.consumer.domain.evidence import dump_evidence
from evaluation_cancel.schemas.events import EvaluationArtifactsCleaned, KeptArtifact
from tests.support.audit.sound_history import CANCELLATION, FAILED, POD, SoundHistory, cancellation_row, event
from tests.support.schemas.examples import ACCEPTED, CANCELLED, EVALUATION, NOON

REPORT = CleanupReport(deleted_count=3, kept_count=1, kept=(KeptObject(key="request.json", why="request"),))
CLEANED = EvaluationArtifactsCleaned(
    evaluation_id=EVALUATION,
    cancellation_id=CANCELLATION,
    team_id="team-7",
    state="done",
    deleted_count=3,
    kept_count=1,
    kept=(KeptArtifact(key="request.json", why="request"),),
    finished_at=NOON,
)
FORGOTTEN_POD = dump_evidence(TeardownEvidence(job="job-uid", pods=(), pod_count=1))
ANOTHER_JOB = dump_evidence(TeardownEvidence(job="another", pods=(POD,), pod_count=1))
CLOSED_BY_HAND = dump_evidence(TeardownEvidence(job="job-uid", pods=(POD,), pod_count=1, resolved_by="mallory"))


def told(what: Any, **row: Any) -> list[str]:
    """The columns, and of JSON the fields, that are named."""
    found = differences(CancellationRow(**cancellation_row(**row)), event(what, 0))
    return [re.split(r" is | lacks | adds ", text)[0] for text in found]


def cleaned_row(**changes: Any) -> dict[str, Any]:
    report = orjson.loads(orjson.dumps(REPORT)) | changes.pop("report", {})
    return {"cleanup_state": "done", "cleanup_report": orjson.dumps(report).decode(), **changes}


def test_a_row_that_says_what_its_events_say_differs_in_nothing() -> None:
    assert told(ACCEPTED) == told(CANCELLED) == []
    failed = {"phase": "failed", "last_error_code": "owned_by", "last_error_text": "JobSet"}
    assert told(FAILED.model_copy(update={"command_count": 1}), **failed) == []
    assert told(CLEANED, **cleaned_row()) == []
    assert told(ACCEPTED, cleanup_state="done") == [], "whoever joined may have wished for it"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("actor_kind", "service"),
        ("actor_id", "bob"),
        ("reason", "x"),
        ("team_id", "team-8"),
        ("status_before", "created"),
        ("accepted_at", NOON + timedelta(seconds=1)),
        ("requested_at", NOON),
        ("command_id", "command-9"),
    ],
)
def test_what_both_acceptance_and_outcome_tell_is_held_against_both(column: str, value: Any) -> None:
    assert told(ACCEPTED, **{column: value}) == told(CANCELLED, **{column: value}) == [column]


@pytest.mark.parametrize(
    ("column", "value", "named"),
    [
        ("phase", "failed", "phase"),
        ("ended_at", NOON + timedelta(seconds=1), "ended_at"),
        ("joined", 1, "commands"),
        ("cleanup_state", "done", "cleanup wished for"),
        ("evidence", FORGOTTEN_POD, "evidence pods"),
        ("evidence", ANOTHER_JOB, "evidence job"),
        ("evidence", CLOSED_BY_HAND, "evidence resolved_by"),
    ],
)
def test_the_end_and_its_evidence_are_held_against_the_outcome(column: str, value: Any, named: str) -> None:
    assert told(CANCELLED, **{column: value}) == [named]


@pytest.mark.parametrize("anything", [None, "[]", '{"pods": 1}', "{}"])
def test_what_is_no_evidence_differs_and_breaks_nothing(anything: str | None) -> None:
    assert "evidence job" in told(CANCELLED, evidence=anything)
    assert "cleanup deleted_count" in told(CLEANED, **cleaned_row(cleanup_report=anything))


def test_of_a_list_only_the_difference_is_told() -> None:
    found = differences(CancellationRow(**cancellation_row(evidence=FORGOTTEN_POD)), event(CANCELLED, 0))
    assert list(found) == ["evidence pods lacks pod gone at 2026-11-24T12:00:00Z, unlike the event"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("deleted_count", 4), ("kept", []), ("failed_codes", {"AccessDenied": 1}), ("versions_retained", 2)],
)
def test_what_was_deleted_and_kept_is_held_against_the_event_of_the_cleanup(name: str, value: Any) -> None:
    assert told(CLEANED, **cleaned_row(report={name: value})) == [f"cleanup {name}"]
    assert told(CLEANED, **cleaned_row(cleanup_state="partial")) == ["cleanup_state"]


def test_a_cleanup_of_which_no_event_tells_is_named() -> None:
    history = SoundHistory()
    history.cancellations[0] |= cleaned_row()
    history.events[1] = event(CANCELLED.model_copy(update={"cleanup_artifacts": True}), 1)
    history.messages.pop()
    assert {f.code for f in history.check().defects} >= {"row_without_event"}


def test_an_evaluation_that_is_cancelled_though_its_cancellation_failed_is_named() -> None:
    history = SoundHistory()
    history.events[1] = event(FAILED.model_copy(update={"command_count": 1}), 1)
    history.messages.pop()
    history.cancellations[0] |= {"phase": "failed", "last_error_code": "owned_by", "last_error_text": "JobSet"}
    assert [f.code for f in history.check().defects] == ["row_missing", "status_differs"]
