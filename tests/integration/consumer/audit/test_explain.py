"""One evaluation's story: complete, from each source, and honest about the sources that are away."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from pydantic import SecretStr
from rich.console import Console

from evaluation_cancel.consumer.audit.cli.explain import explain_evaluation
from evaluation_cancel.consumer.audit.cli.settings import AuditSettings
from evaluation_cancel.consumer.audit.explain.explain import Explanation
from evaluation_cancel.consumer.audit.explain.view import print_json, show
from tests.support.audit.history import History, new_bucket

NOWHERE = "127.0.0.1:1"


async def story(settings: AuditSettings, evaluation: UUID, since: datetime | None = None) -> Explanation:
    return await explain_evaluation(settings, evaluation, since, 60)


def shown(explanation: Explanation) -> str:
    screen = io.StringIO()
    show(explanation, Console(width=250, file=screen))
    return screen.getvalue()


async def test_the_whole_story_is_told_with_its_sources(history: History) -> None:
    told = await story(history.settings, history.running)
    assert told.unread == {}
    assert told.read == ["postgres", "kafka", "archive"]
    whats = [entry.kind for entry in told.entries]
    for what in ("cancel", "decided", "opened", "deleting", "accepted", "ended", "cancelled", "artifacts cleaned"):
        assert whats.count(what) == 1, what
    assert whats.count("recorded") == 3
    assert whats.count("pod gone") == whats.count("pod seen") == 2
    assert [e.at for e in told.entries] == sorted(e.at for e in told.entries)
    cancel = next(e for e in told.entries if e.kind == "cancel")
    assert cancel.detail == "by user ada, artifacts too: wrong model"
    assert cancel.sources[0].startswith(f"{history.settings.topics.commands}[")
    assert cancel.sources[1] == "kafka"
    assert cancel.sources[2] in history.objects
    assert cancel.sources[3].startswith("table commands (/audit-tests, ")
    decided = next(e for e in told.entries if e.kind == "decided")
    assert decided.detail == "accepted: saw starting of team team-1, no fence; acting for team-1; rules version 2"
    assert decided.sources[0].startswith("table commands (/audit-tests, ")
    opened = next(e for e in told.entries if e.kind == "opened")
    assert opened.detail.endswith(" by user ada, artifacts too: wrong model; was starting")
    ended = next(e for e in told.entries if e.kind == "ended")
    assert ended.detail.startswith("cancelled: job ")
    assert "2 pods seen gone" in ended.detail
    text = shown(told)
    assert "It is cancelled, of team team-1; Job" in text
    assert "Artifacts: " in text
    assert "archive object 1: data/" in text
    assert "Not read" not in text


async def test_a_failure_is_told_with_its_reason(history: History) -> None:
    told = await story(history.settings, history.owned)
    failed = next(e for e in told.entries if e.kind == "failed")
    assert "owned_by" in failed.detail
    assert next(e for e in told.entries if e.kind == "ended").detail.startswith("failed: owned_by: ")


async def test_a_rejection_and_a_dead_letter_are_part_of_the_story(history: History) -> None:
    told = await story(history.settings, history.forbidden)
    assert next(e for e in told.entries if e.kind == "rejected").detail.startswith("forbidden by user ada (sequence ")
    assert "acting for team-2" in next(e for e in told.entries if e.kind == "decided").detail
    told = await story(history.settings, history.created)
    assert "id_reused" in next(e for e in told.entries if e.kind == "dead letter").detail
    assert [e.kind for e in told.entries].count("cancel") == 4


async def test_errors_of_attempts_and_held_reports_are_part_of_the_story(history: History, copy: str) -> None:
    connection = await asyncpg.connect(copy)
    await connection.execute(
        """INSERT INTO evaluation_cancel.cancellation_errors SELECT id, 1, 3, 'too_many_requests', 'slow down',
           accepted_at, 7 FROM evaluation_cancel.cancellations WHERE evaluation_id = $1""",
        history.running,
    )
    await connection.execute(
        "INSERT INTO evaluation_cancel.held_reports VALUES ($1, 'succeeded', now(), NULL)", history.running
    )
    await connection.execute(
        """UPDATE evaluation_cancel.cancellations
           SET cleanup_error_code = 'AccessDenied', cleanup_error_text = 'no right' WHERE evaluation_id = $1""",
        history.running,
    )
    await connection.close()
    told = await story(history.on(copy), history.running)
    assert "last error: AccessDenied: no right" in shown(told)
    error = next(e for e in told.entries if e.kind == "error")
    assert error.detail == "attempt 3: too_many_requests: slow down; the latest of 7 since the ones before"
    assert any(e.kind == "report held" and "succeeded" in e.detail for e in told.entries)


AWAY: dict[str, dict[str, Any]] = {
    "kafka": {"kafka_bootstrap_servers": NOWHERE},
    "postgres": {"postgres_dsn": SecretStr(f"postgresql://{NOWHERE}/none")},
    "archive": {"s3_endpoint_url": f"http://{NOWHERE}"},
}


@pytest.mark.parametrize("away", AWAY)
async def test_a_source_that_is_away_is_named_and_the_others_tell_the_story(history: History, away: str) -> None:
    told = await story(history.settings.model_copy(update=AWAY[away]), history.running)
    assert list(told.unread) == [away]
    assert set(told.read) == set(AWAY) - {away}
    whats = {entry.kind for entry in told.entries}
    assert "cancelled" in whats
    assert ("decided" in whats) == (away != "postgres")
    assert [state for state, _ in told.artifacts] == ["done"], "deleted and kept are told by events too"
    assert f"Not read: {away}" in shown(told)


async def test_postgres_alone_still_says_who_asked_and_why(history: History, copy: str) -> None:
    """When topics have expired and there is no archive; and when the inbox has forgotten, too."""
    alone = history.on(copy).model_copy(update=AWAY["kafka"] | AWAY["archive"])
    told = await story(alone, history.running)
    cancel = next(e for e in told.entries if e.kind == "cancel")
    assert cancel.detail == "by user ada, artifacts too: wrong model"
    assert cancel.sources[0].endswith(" (not read)")
    connection = await asyncpg.connect(copy)
    await connection.execute("TRUNCATE evaluation_cancel.commands, evaluation_cancel.messages")
    await connection.close()
    told = await story(alone, history.running)
    assert "cancel" not in {e.kind for e in told.entries}
    assert "by user ada, artifacts too: wrong model" in next(e for e in told.entries if e.kind == "opened").detail
    assert "pods seen gone" in next(e for e in told.entries if e.kind == "ended").detail


async def test_everything_away_is_said_and_nothing_made_up(
    history: History, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = history.settings
    for changes in AWAY.values():
        settings = settings.model_copy(update=changes)
    told = await story(settings, history.running)
    assert set(told.unread) == set(AWAY)
    assert told.entries == []
    assert "Its present state is not known" in shown(told)
    print_json(told)
    assert '"timeline": []' in capsys.readouterr().out


async def test_an_object_that_was_altered_is_passed_over_and_said(history: History, environment: Any) -> None:
    """In a bucket of its own, with one bad object among the good ones."""
    from evaluation_cancel.consumer.audit.cli import wiring  # noqa: PLC0415

    settings = history.settings.model_copy(update={"audit_bucket": await new_bucket(environment)})
    told = await story(history.settings, history.running)
    cancel = next(e for e in told.entries if e.kind == "cancel")
    async with wiring.store(settings) as store:
        for key, body in history.objects.items():
            await store.create(key, body[:-8] if key == cancel.sources[2] else body)
    told = await story(settings, history.running)
    assert [remark for remark in told.remarks if "altered_object" in remark and cancel.sources[2] in remark]
    assert next(e for e in told.entries if e.kind == "cancel").sources[1:] == ("kafka", cancel.sources[3])
    assert any(e.sources[-1].startswith("data/") for e in told.entries)


async def test_of_an_unknown_evaluation_nothing_is_told(history: History) -> None:
    told = await story(history.settings, uuid4(), datetime(2020, 1, 1, tzinfo=UTC))
    assert told.entries == []
    assert told.unread == {}
    assert "There is no such evaluation" in shown(told)
