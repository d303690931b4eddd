"""The words of the command line: what they mean, and what is refused because it would be ignored or mislead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer

from evaluation_cancel.consumer.audit.cli.options import decision_of, moment, source_of, span, types_of
from evaluation_cancel.consumer.audit.cli.replay_target import Target
from evaluation_cancel.consumer.audit.cli.settings import AuditSettings

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SETTINGS = AuditSettings(audit_bucket=None)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-24", datetime(2026, 11, 24, tzinfo=UTC)),
        ("2026-11-24T10:30Z", datetime(2026, 11, 24, 10, 30, tzinfo=UTC)),
        ("2026-11-24T10:30+02:00", datetime(2026, 11, 24, 8, 30, tzinfo=UTC)),
        ("36h", NOW - timedelta(hours=36)),
        ("7d", NOW - timedelta(days=7)),
        (" 90s ", NOW - timedelta(seconds=90)),
        (None, None),
    ],
)
def test_a_moment_is_a_time_or_an_age(text: str | None, at: datetime | None) -> None:
    assert moment(text, NOW) == at


@pytest.mark.parametrize("text", ["", "yesterday", "7x", "999999d", "999999w", "9999-12-31T23:00-05:00", "٣d"])
def test_what_is_neither_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="neither a time"):
        moment(text, NOW)


def test_a_span_that_holds_nothing_is_refused() -> None:
    since, before = span("2h", "1h")
    assert since is not None
    assert before is not None
    assert before - since == 3_600_000
    assert span(None, None) == (None, None)
    for asked in (("1h", "2h"), ("2026-11-24", "2026-11-24"), ("9000-01-01", None)):
        with pytest.raises(typer.BadParameter, match="is not before"):
            span(*asked)


def test_a_name_that_would_find_nothing_is_refused_with_those_that_can() -> None:
    assert decision_of("forbidden") == "forbidden"
    assert decision_of(None) is None
    with pytest.raises(typer.BadParameter, match="accepted, rejected, not_found"):
        decision_of("joined")
    with pytest.raises(typer.BadParameter, match="EvaluationCancelled"):
        types_of(["Cancelled"])
    with pytest.raises(typer.BadParameter, match="kafka, archive"):
        source_of("s3", SETTINGS)
    assert source_of(None, SETTINGS) == "kafka"
    assert source_of(None, SETTINGS.model_copy(update={"audit_bucket": "b"})) == "archive"


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"form": "csv"}, "--as is one of"),
        ({"form": "topic"}, "--topic goes with"),
        ({"form": "jsonl", "topic": "t"}, "--topic goes with"),
        ({"form": "jsonl", "rate": 5.0}, "--rate go with"),
        ({"form": "parquet", "progress": Path("p")}, "--progress and --rate go with"),
        ({"form": "terminal", "out": Path("o")}, "--out goes with"),
        ({"form": "topic", "topic": "t", "out": Path("o")}, "--out goes with"),
        *(({"form": "topic", "topic": spec.name}, "system's own") for spec in SETTINGS.topics.specs()),
    ],
)
def test_what_would_be_ignored_or_do_harm_is_refused(asked: dict[str, Any], why: str) -> None:
    with pytest.raises(typer.BadParameter, match=why):
        Target(**asked).check(SETTINGS)


@pytest.mark.parametrize(
    "asked",
    [
        {"form": "terminal"},
        {"form": "jsonl", "out": Path("o")},
        {"form": "parquet", "out": Path("o")},
        {"form": "topic", "topic": "t", "rate": 5.0, "progress": Path("p")},
    ],
)
def test_what_goes_together_is_taken(asked: dict[str, Any]) -> None:
    Target(**asked).check(SETTINGS)
