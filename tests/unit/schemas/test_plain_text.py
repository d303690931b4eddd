"""Strangers' text cannot control a terminal, be markup, or hide, in any view; and JSON stays the same JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from evaluation_cancel.consumer.audit.cli.verify import _table as findings_table
from evaluation_cancel.consumer.audit.history.wording import plain
from evaluation_cancel.consumer.audit.verify.findings import Finding
from evaluation_cancel.consumer.cli import views
from evaluation_cancel.producer.cli.cancelling import Progress, State
from evaluation_cancel.producer.cli.progress import ProgressView
from evaluation_cancel.schemas.plain_text import visible, visible_json

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
STRANGE = (
    "see ticket [/]",
    "[link=https://evil.example]x[/link]",
    "\x1b[2J",
    "\x9b31m",
    "a\u202eb",
    "\u2066",
    "\x7f\\",
)
texts = st.one_of(
    st.sampled_from(STRANGE), st.text(min_size=1).filter(lambda t: not any("\ud800" <= c <= "\udfff" for c in t))
)


def console() -> tuple[Console, io.StringIO]:
    """As on a terminal that understands everything."""
    out = io.StringIO()
    return Console(file=out, force_terminal=True, width=10_000, color_system=None, legacy_windows=False), out


def stuck(text: str, *, as_json: bool) -> str:
    row = dict.fromkeys(("team_id", "cluster", "phase", "claimed_by", "reason"), text)
    rows = [{"evaluation_id": uuid4(), "accepted_at": NOON, "attempts": 1, "waits_for": [text, text], **row}]
    on, out = console()
    views.print_stuck(rows, 60, on, as_json=as_json)
    return out.getvalue()


def status(text: str, *, as_json: bool) -> str:
    names = ("phase", "actor_id", "reason", "last_error_code")
    cancellation = dict.fromkeys(names, text) | {"id": uuid4(), "accepted_at": NOON, "ended_at": None, "attempts": 1}
    command = dict.fromkeys(("source", "id", "actor_id", "decision", "code"), text) | {"received_at": NOON}
    known = {
        "evaluation": {"id": uuid4(), "status": "unknown", "word": text},
        "cancellations": [cancellation | {"waits_for": [text], "evidence": {text: text}, "cleanup_report": None}],
        "commands": [command],
        "messages": [],
        "held_report": None,
    }
    on, out = console()
    views.print_status(known, on, as_json=as_json)
    return out.getvalue()


def findings(text: str) -> str:
    on, out = console()
    on.print(findings_table("Defects", [Finding(code="x", where=text, detail=text)]))
    return out.getvalue()


def progress(text: str) -> str:
    row = Progress(evaluation_id=uuid4(), command_id="c", started=0.0)
    row.state, row.code, row.detail = State.REJECTED, "x", text
    on, out = console()
    with ProgressView([row], on, as_json=True):
        pass
    return out.getvalue()


VIEWS: dict[str, Callable[[str], str]] = {
    "stuck": lambda text: stuck(text, as_json=False),
    "stuck as JSON": lambda text: stuck(text, as_json=True),
    "status": lambda text: status(text, as_json=False),
    "status as JSON": lambda text: status(text, as_json=True),
    "findings": findings,
    "progress as JSON": progress,
}


@pytest.mark.parametrize("view", VIEWS)
@given(text=texts)
def test_strangers_text_is_text_in_every_view(view: str, text: str) -> None:
    shown = VIEWS[view](text)
    assert all(character.isprintable() or character == "\n" for character in shown)
    if "JSON" not in view:
        assert visible(text).strip() in shown or not visible(text).strip()


@given(texts)
def test_what_is_printable_stays_as_it_is(text: str) -> None:
    assert visible(text).isprintable()
    assert plain(text).isprintable()
    if text.isprintable():
        assert visible(text) == text


@given(st.recursive(st.text(), lambda inner: st.dictionaries(st.text(), inner) | st.lists(inner), max_leaves=10))
def test_json_means_the_same(value: Any) -> None:
    try:
        document = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    except TypeError:
        return  # a lone surrogate, which orjson refuses
    assert json.loads(visible_json(document)) == value
