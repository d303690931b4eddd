"""The command line `cancel-consumer`: run the service, prepare its stores, look, step in by hand.

Each command loads its own parts when it is called: all of them together, with their clients, take seconds.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Annotated, get_args
from uuid import UUID

import structlog
import typer
from rich.console import Console

from evaluation_cancel.consumer.audit.cli.entry import app as audit_app
from evaluation_cancel.consumer.cli import views as operator_views
from evaluation_cancel.consumer.cli.migrate import app as migrate_app
from evaluation_cancel.consumer.cli.terminal import ask
from evaluation_cancel.consumer.runtime import logs
from evaluation_cancel.consumer.runtime.gc_tuning import search_rarely
from evaluation_cancel.consumer.settings import ALL_LOOPS, ConsumerSettings, Loop, load_settings
from evaluation_cancel.consumer.sql.connect import database

app = typer.Typer(
    no_args_is_help=True,
    help="Run the service, prepare its stores, look, step in by hand.",
    pretty_exceptions_show_locals=False,
)
app.add_typer(migrate_app, name="migrate")
app.add_typer(audit_app, name="audit")
_log = structlog.get_logger(__name__)


@app.command()
def run(
    loops: Annotated[str, typer.Option(help=f"Which loops, with commas: {','.join(ALL_LOOPS)}.")] = ",".join(ALL_LOOPS),
    cluster: Annotated[list[str] | None, typer.Option(help="Take Jobs down in these clusters only.")] = None,
) -> None:
    """Run the service until SIGTERM or Ctrl-C."""
    settings = load_settings()
    wanted = _loops(loops)
    for name in cluster or ():
        if name not in settings.clusters:
            raise typer.BadParameter(f"cluster {name!r} is not among the settings' clusters: {list(settings.clusters)}")
    logs.configure(settings.log_level)
    _use_uvloop()
    asyncio.run(_serve(settings, wanted, cluster or []))


@app.command()
def status(
    evaluation_id: UUID, *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Tell all that is known of one evaluation."""
    settings = load_settings()

    async def show() -> bool:
        async with database(settings) as opened:
            return await operator_views.status(opened, evaluation_id, Console(), as_json=as_json)

    sys.exit(0 if ask(show()) else 1)


@app.command()
def stuck(
    older_than: Annotated[float, typer.Option(help="Seconds since they were accepted.")] = 60.0,
    limit: Annotated[int, typer.Option(help="Rows at most.")] = 100,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List open cancellations by age, with their last error."""
    settings = load_settings()

    async def show() -> None:
        async with database(settings) as opened:
            await operator_views.stuck(opened, older_than, limit, Console(), as_json=as_json)

    ask(show())


@app.command(name="resolve")
def resolve_by_hand(
    evaluation_id: UUID,
    reason: Annotated[str, typer.Option(help="Why you are sure; goes on record and into the event.")],
    operator: Annotated[str, typer.Option(help="Who you are; goes on record and into the event.", envvar="USER")],
    outcome: Annotated[str, typer.Option(help="cancelled: the Job is gone. failed: it goes on.")] = "cancelled",
) -> None:
    """Close an open cancellation by hand, with a reason on record."""
    from evaluation_cancel.consumer.teardown.resolve import Resolution, resolve  # noqa: PLC0415
    from evaluation_cancel.consumer.wiring import outcome_events  # noqa: PLC0415  # the service's parts

    settings = load_settings()
    if outcome not in {"cancelled", "failed"} or not reason.strip() or not operator.strip():
        raise typer.BadParameter("outcome is cancelled or failed; reason and operator must not be empty")
    resolution = Resolution(outcome=outcome, operator=operator, reason=reason)  # type: ignore[arg-type]  # checked

    async def close() -> UUID:
        async with database(settings) as opened:
            events = outcome_events(settings)
            return await resolve(opened, events, evaluation_id, resolution, cleanup_deadline=settings.cleanup_time)

    Console().print(f"Cancellation {ask(close())} of evaluation {evaluation_id} is closed as {outcome}.")


def _loops(text: str) -> list[Loop]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in get_args(Loop)]
    if unknown or not names:
        raise typer.BadParameter(f"loops: {unknown or 'none'} not known; choose from {', '.join(ALL_LOOPS)}")
    return [loop for loop in ALL_LOOPS if loop in names]


async def _serve(settings: ConsumerSettings, loops: list[Loop], clusters: list[str]) -> None:
    from evaluation_cancel.consumer.app import service  # noqa: PLC0415  # the clients of Kafka, Kubernetes and S3, and an HTTP server

    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with service(settings, loops, clusters) as (_, port):
        search_rarely()
        _log.info("The service runs.", action="started", loops=loops, worker=settings.worker, http_port=port)
        await stopped.wait()
        _log.info("Asked to stop: no more is taken in.", action="stopping")
    _log.info("Stopped.", action="stopped")


def _use_uvloop() -> None:
    if sys.platform != "win32":
        import uvloop  # noqa: PLC0415  # not on every platform

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def main() -> None:
    app()


if __name__ == "__main__":
    main()
