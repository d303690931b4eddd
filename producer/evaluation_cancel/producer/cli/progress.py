"""Shows the progress of cancellations: a live table on a terminal, otherwise a line for each change, or JSON."""

import json
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from evaluation_cancel.producer.cli.cancelling import GOOD, REFUSED, Progress, State
from evaluation_cancel.schemas.plain_text import visible, visible_json

REFRESHES_A_SECOND: Final = 8
ROWS_SHOWN: Final = 40


class ProgressView:
    """Use it around the work; tell it of each change."""

    def __init__(self, rows: Sequence[Progress], console: Console, *, as_json: bool) -> None:
        self._rows = rows
        self._console = console
        self._as_json = as_json
        self._live: Live | None = None
        if console.is_terminal and not as_json:
            self._live = Live(
                console=console, get_renderable=self._table, refresh_per_second=REFRESHES_A_SECOND, transient=True
            )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        if self._as_json:
            self._print_json()
        elif self._live is not None:
            self._console.print(self._table(shown=len(self._rows)))

    def changed(self, row: Progress) -> None:
        if self._live is None and not self._as_json and row.ended is None:
            line = visible(f"{row.evaluation_id}  {row.state}  {_explanation(row)}".rstrip())
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _print_json(self) -> None:
        for row in self._rows:
            fields = {
                "evaluation_id": str(row.evaluation_id),
                "command_id": row.command_id,
                "state": row.state.replace(" ", "_"),
                "code": row.code,
                "detail": row.detail,
                "seconds": round(row.seconds, 3),
            }
            self._console.print(visible_json(json.dumps(fields)), markup=False, highlight=False, soft_wrap=True)

    def _table(self, shown: int = ROWS_SHOWN) -> Table:
        """Those still open come first, so that they stay on the screen when there are many."""
        rows = sorted(self._rows, key=lambda row: row.ended is not None)[:shown]
        done = sum(row.ended is not None for row in self._rows)
        table = Table(caption=f"{done} of {len(self._rows)}", caption_justify="left")
        table.add_column("evaluation", no_wrap=True)
        table.add_column("state", no_wrap=True)
        table.add_column("seconds", justify="right")
        table.add_column("")
        for row in rows:
            table.add_row(
                Text(str(row.evaluation_id)),
                Text(row.state, style=_style(row.state)),
                f"{row.seconds:.1f}",
                Text(visible(_explanation(row))),
            )
        return table


def _style(state: State) -> str:
    if state in GOOD:
        return "green"
    if state in REFUSED:
        return "red"
    return "yellow" if state in (State.UNKNOWN, State.TIMED_OUT) else ""


def _explanation(row: Progress) -> str:
    return ": ".join(part for part in (row.code, row.detail) if part)
