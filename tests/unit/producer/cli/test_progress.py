import io
import json
from uuid import UUID

import pytest
from rich.console import Console

from evaluation_cancel.producer.cli.cancelling import Progress, State
from evaluation_cancel.producer.cli.progress import ProgressView

ROWS = [UUID(int=1), UUID(int=2)]


@pytest.fixture
def rows() -> list[Progress]:
    return [Progress(evaluation_id=each, command_id=f"command-{each.int}") for each in ROWS]


def shown(rows: list[Progress], *, terminal: bool, as_json: bool = False) -> str:
    screen = io.StringIO()
    with ProgressView(rows, Console(file=screen, force_terminal=terminal, width=120), as_json=as_json) as view:
        rows[0].become(State.ACCEPTED)
        view.changed(rows[0])
        rows[0].become(State.CANCELLED)
        view.changed(rows[0])
        rows[1].become(State.REJECTED, "not_found")
        view.changed(rows[1])
        for row in rows:
            row.ended = row.started + 1.25
            view.changed(row)
    return screen.getvalue()


def test_a_pipe_gets_one_line_for_each_change(rows: list[Progress]) -> None:
    assert shown(rows, terminal=False).splitlines() == [
        f"{ROWS[0]}  accepted",
        f"{ROWS[0]}  cancelled",
        f"{ROWS[1]}  rejected  not_found",
    ]


def test_a_terminal_ends_with_a_table_of_all(rows: list[Progress]) -> None:
    text = shown(rows, terminal=True)
    assert "2 of 2" in text
    assert "not_found" in text
    assert "1.2" in text


def test_json_is_an_object_a_line_whatever_the_screen(rows: list[Progress]) -> None:
    lines = [json.loads(line) for line in shown(rows, terminal=False, as_json=True).splitlines()]
    assert [(line["evaluation_id"], line["command_id"], line["state"], line["code"]) for line in lines] == [
        (str(ROWS[0]), "command-1", "cancelled", None),
        (str(ROWS[1]), "command-2", "rejected", "not_found"),
    ]


def test_foreign_text_is_no_markup(rows: list[Progress]) -> None:
    rows[0].become(State.FAILED, "rbac_denied", "[red]no[/] such [/role]")
    screen = io.StringIO()
    with ProgressView(rows, Console(file=screen, force_terminal=True, width=200), as_json=False):
        pass
    assert "[red]no[/] such [/role]" in screen.getvalue()
