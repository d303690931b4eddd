"""The command `report`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from consumer.audit.asked import history_from, milliseconds, moment, saying, source_of
from consumer.audit.progress import metered
from consumer.audit.report import Report, count
from consumer.audit.report_html import page
from consumer.audit.report_view import show
from consumer.audit.running import ask, screen
from consumer.audit.selection import Selection
from consumer.audit.settings import AuditSettings
from consumer.settings import read_settings


def report_command(
    since: Annotated[str | None, typer.Option("--from", help="A time, or an age as 36h or 7d.")] = None,
    before: Annotated[str | None, typer.Option("--to", help="The same; not included.")] = None,
    source: Annotated[str | None, typer.Option(help="kafka or archive; the archive where there is one.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with plots, which needs no network.")] = None,
) -> None:
    """Count cancellations: decisions by team and actor, time to cancelled, failures and their codes."""
    settings, now, console = read_settings(AuditSettings), datetime.now(UTC), screen()
    selection = Selection(since_ms=milliseconds(moment(since, now)), before_ms=milliseconds(moment(before, now)))
    chosen = source_of(source, settings)

    async def run() -> Report:
        async with history_from(chosen, settings, saying(console)) as history:
            with metered(console, "Report") as meter:
                return await count(history, settings.topics.events, selection, meter)

    report = ask(run())
    show(report, Console(highlight=False))
    if html is not None:
        html.write_text(page(report), encoding="utf-8")
        console.print(f"Written: {html}", highlight=False)
