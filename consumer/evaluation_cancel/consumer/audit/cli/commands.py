"""The commands `explain`, `replay`, `archive`, `verify` and `report`. Each but `archive` has a module of its name."""

from __future__ import annotations

import asyncio
import signal
from typing import Annotated

import structlog
import typer

from evaluation_cancel.consumer.audit.archive.object_store import probe
from evaluation_cancel.consumer.audit.cli import wiring
from evaluation_cancel.consumer.audit.cli.explain import explain_command
from evaluation_cancel.consumer.audit.cli.replay import replay_command
from evaluation_cancel.consumer.audit.cli.report import report_command
from evaluation_cancel.consumer.audit.cli.settings import AuditSettings
from evaluation_cancel.consumer.audit.cli.terminal import run_command
from evaluation_cancel.consumer.audit.cli.verify import verify_command
from evaluation_cancel.consumer.runtime import logs
from evaluation_cancel.schemas.settings.loading import load_settings

app = typer.Typer(no_args_is_help=True, help="Explain, replay, archive, verify and report past cancellations.")
_log = structlog.get_logger(__name__)
app.command(name="explain")(explain_command)
app.command(name="replay")(replay_command)
app.command(name="report")(report_command)
app.command(name="verify")(verify_command)


@app.command()
def archive(
    *, once: Annotated[bool, typer.Option("--once", help="Archive the records that are there now, then end.")] = False
) -> None:
    """Write all three topics to the archive, signed and chained, until SIGTERM or Ctrl-C."""
    settings = load_settings(AuditSettings)
    logs.configure(settings.log_level)
    run_command(_archive(settings, once=once))


async def _archive(settings: AuditSettings, *, once: bool) -> None:
    async with wiring.store(settings) as store:
        archiver = wiring.archiver(settings, store)
        await probe(store)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, archiver.stop)
        _log.info("The archiver has started.", action="archiver_started", bucket=settings.audit_bucket)
        await (archiver.run_once() if once else archiver.run())
        _log.info("The archiver has ended.", action="archiver_ended", links=archiver.links, records=archiver.records)
