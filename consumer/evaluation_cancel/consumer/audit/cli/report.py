"""The command `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from evaluation_cancel.consumer.audit.cli.options import (
    Before,
    Since,
    SourceName,
    history_from,
    print_remarks,
    source_of,
    span,
)
from evaluation_cancel.consumer.audit.cli.settings import AuditSettings
from evaluation_cancel.consumer.audit.cli.terminal import run_command, stderr_console
from evaluation_cancel.consumer.audit.history.progress import metered
from evaluation_cancel.consumer.audit.history.selection import Selection
from evaluation_cancel.consumer.audit.report.html import page
from evaluation_cancel.consumer.audit.report.report import Report, count
from evaluation_cancel.consumer.audit.report.view import show
from evaluation_cancel.schemas.settings.loading import load_settings


def report_command(
    since: Since = None,
    before: Before = None,
    source: SourceName = None,
    html: Annotated[
        Path | None, typer.Option(help="Also write an HTML page with plots. It loads nothing from the network.")
    ] = None,
) -> None:
    """Count cancellations: decisions by team and actor, time to cancelled, failures and their codes."""
    settings, console = load_settings(AuditSettings), stderr_console()
    since_ms, before_ms = span(since, before)
    selection = Selection(since_ms=since_ms, before_ms=before_ms)
    chosen = source_of(source, settings)

    async def run() -> Report:
        async with history_from(chosen, settings, print_remarks(console)) as history:
            with metered(console, "Report") as meter:
                return await count(history, settings.topics.events, selection, meter)

    report = run_command(run())
    show(report, Console(highlight=False))
    if html is not None:
        html.write_text(page(report), encoding="utf-8")
        console.print(f"Written: {html}", highlight=False)
