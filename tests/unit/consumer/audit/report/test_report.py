"""Counting events: each once, and right in every sum."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from evaluation_cancel.consumer.audit.report.html import page
from evaluation_cancel.consumer.audit.report.report import Counting, Report, percentile
from evaluation_cancel.consumer.audit.report.view import sheets
from evaluation_cancel.schemas.envelope import TYPE_PREFIX
from evaluation_cancel.schemas.events import Actor, EvaluationCancelFailed, EvaluationCancelRejected, Event
from evaluation_cancel.schemas.wire.codec import encode_event
from evaluation_cancel.schemas.wire.records import RawRecord
from tests.support.schemas.examples import ACCEPTED, CANCELLED, EVALUATION, NOON, as_read, envelope

BAD = '<script src="http://evil">alert(1)</script>'


def event(event: Event, identity: str) -> RawRecord:
    short = type(event).__name__
    return replace(
        as_read(encode_event(envelope(short, id=identity), event)), timestamp_ms=int(NOON.timestamp() * 1000)
    )


def counted(*records: RawRecord) -> Report:
    report = Report(since=None, before=NOON, source="archive")
    counting = Counting(report)
    for record in records:
        counting.count(record)
    counting.end()
    return report


def cancelled(cancellation: int, seconds: float, joined: int = 0) -> Event:
    return CANCELLED.model_copy(
        update={
            "cancellation_id": UUID(int=cancellation),
            "cancelled_at": NOON + timedelta(seconds=seconds),
            "command_count": 1 + joined,
        }
    )


def test_sums_are_right_and_what_is_published_twice_counts_once() -> None:
    other = ACCEPTED.model_copy(update={"cancellation_id": UUID(int=9)})
    rejected = EvaluationCancelRejected(
        evaluation_id=EVALUATION, requested_by=Actor(kind="service", id="ci"), code="forbidden"
    )
    failed = EvaluationCancelFailed(
        evaluation_id=EVALUATION,
        cancellation_id=UUID(int=8),
        team_id="team-7",
        requested_by=Actor(kind="user", id="ada"),
        code="owned_by",
        detail="JobSet",
        accepted_at=NOON,
        failed_at=NOON,
    )
    report = counted(
        event(ACCEPTED, "a"),
        event(ACCEPTED, "a"),
        event(other, "b"),
        event(cancelled(7, 2.5, joined=3), "c"),
        event(cancelled(7, 2.5, joined=3), "c"),
        event(rejected, "d"),
        event(failed, "e"),
        replace(event(ACCEPTED, "x"), value=b"nonsense"),
    )
    assert report.decisions == {"accepted": 2, "joined": 3, "forbidden": 1}
    assert report.outcomes == {"cancelled": 1, "failed": 1, "open": 1}
    assert report.teams["team-7", "accepted"] == 2
    assert report.actors["service ci", "forbidden"] == 1
    assert report.failures == {"owned_by": 1}
    assert list(report.from_acceptance) == [2.5]
    assert report.undecodable == 1
    assert report.days["2026-11-24", "accepted"] == 2


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_the_least_value_that_this_share_does_not_exceed(values: list[float], share: float) -> None:
    values.sort()
    found = percentile(values, share)
    assert found is not None
    assert sum(v <= found for v in values) >= share * len(values) - 1e-9
    assert sum(v < found for v in values) < share * len(values) + 1e-9
    assert percentile([], share) is None


def test_a_page_shows_what_strangers_wrote_as_text() -> None:
    bad = ACCEPTED.model_copy(update={"team_id": BAD, "requested_by": Actor(kind="user", id=BAD)})
    html = page(counted(event(bad, "a"), event(cancelled(1, 0.0), "b"), event(cancelled(2, 1e5), "c")))
    assert "<script" not in html
    assert "&lt;script" in html
    assert html.count("<svg") == 2


def test_a_report_on_nothing_is_a_page_too() -> None:
    empty = counted()
    assert "There were no events in this time." in page(empty)
    assert sheets(empty) == []
    assert TYPE_PREFIX not in page(empty)
