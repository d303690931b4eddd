"""The command line `cancel-consumer`: run the service, prepare its stores, inspect evaluations, resolve by hand.

Each command imports its own dependencies when it runs: importing all clients takes seconds.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from importlib.metadata import version
from typing import Annotated, Any, Literal
from uuid import UUID

import structlog
import typer

from evaluation_cancel.consumer.audit.cli.entry import app as audit_app
from evaluation_cancel.consumer.cli import views
from evaluation_cancel.consumer.cli.config import app as config_app
from evaluation_cancel.consumer.cli.migrate import app as migrate_app
from evaluation_cancel.consumer.cli.terminal import run_on_postgres
from evaluation_cancel.consumer.domain.errors import Refusal
from evaluation_cancel.consumer.runtime import logs
from evaluation_cancel.consumer.runtime.gc_tuning import search_rarely
from evaluation_cancel.consumer.runtime.terminal import console
from evaluation_cancel.consumer.settings import ALL_LOOPS, ConsumerSettings, Loop
from evaluation_cancel.consumer.sql.connect import database
from evaluation_cancel.schemas.settings.loading import load_settings

app = typer.Typer(
    no_args_is_help=True,
    help="Run the service, prepare its stores, inspect evaluations, resolve cancellations by hand.",
    pretty_exceptions_show_locals=False,
)
app.add_typer(migrate_app, name="migrate")
app.add_typer(audit_app, name="audit")
app.add_typer(config_app, name="config")
_log = structlog.get_logger(__name__)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"cancel-consumer {version('evaluation-cancel')}")  # noqa: T201  # the answer
        raise typer.Exit


@app.callback()
def options(
    *, _version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = False
) -> None:
    """Run the service, prepare its stores, inspect evaluations, resolve cancellations by hand."""


@app.command()
def run(
    loops: Annotated[str, typer.Option(help=f"Loops to run, separated by commas: {','.join(ALL_LOOPS)}.")] = ",".join(
        ALL_LOOPS
    ),
    cluster: Annotated[
        list[str] | None, typer.Option(help="Delete Jobs in this cluster only; repeatable. Default: all.")
    ] = None,
) -> None:
    """Run the service until SIGTERM or Ctrl-C."""
    settings = load_settings(ConsumerSettings)
    chosen = _loops(loops)
    for name in cluster or ():
        if name not in settings.clusters:
            raise typer.BadParameter(f"cluster {name!r} is not in the setting CLUSTERS: {list(settings.clusters)}")
    logs.configure(settings.log_level)
    _use_uvloop()
    try:
        asyncio.run(_serve(settings, chosen, cluster or []))
    except Refusal as refusal:
        print(refusal, file=sys.stderr)  # noqa: T201  # the command's answer
        raise SystemExit(2) from None


@app.command()
def status(
    evaluation_id: UUID, *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Show the stored state of one evaluation. Exits with 1 when the evaluation is unknown."""
    settings = load_settings(ConsumerSettings)

    async def read() -> dict[str, Any]:
        async with database(settings) as opened:
            return await views.read_status(opened, evaluation_id, settings.job_create_grace)

    known = run_on_postgres(read())
    views.print_status(known, console(), as_json=as_json)
    sys.exit(0 if known["evaluation"] or known["commands"] else 1)


@app.command()
def stuck(
    older_than: Annotated[float, typer.Option(help="Seconds since the command was accepted, at least.")] = 60.0,
    limit: Annotated[int, typer.Option(help="Rows at most.")] = 100,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List open cancellations, oldest first, with their last error."""
    settings = load_settings(ConsumerSettings)

    async def read() -> list[dict[str, Any]]:
        async with database(settings) as opened:
            return await views.read_stuck(opened, older_than, limit, settings.job_create_grace)

    views.print_stuck(run_on_postgres(read()), older_than, console(), as_json=as_json)


@app.command(name="resolve")
def resolve_by_hand(
    evaluation_id: UUID,
    reason: Annotated[str, typer.Option(help="Why the outcome is certain. Stored, and published in the event.")],
    operator: Annotated[str, typer.Option(help="Your name. Stored, and published in the event.", envvar="USER")],
    outcome: Annotated[
        Literal["cancelled", "failed"],
        typer.Option(help="cancelled: the Job is gone. failed: the evaluation goes on."),
    ] = "cancelled",
) -> None:
    """Close an open cancellation by hand. Stores the reason and the operator."""
    from evaluation_cancel.consumer.teardown.resolve import Resolution, resolve  # noqa: PLC0415  # see above
    from evaluation_cancel.consumer.wiring import outcome_events  # noqa: PLC0415  # all clients

    settings = load_settings(ConsumerSettings)
    if not reason.strip() or not operator.strip():
        raise typer.BadParameter("--reason and --operator must not be empty")
    resolution = Resolution(outcome=outcome, operator=operator, reason=reason)

    async def close() -> UUID:
        async with database(settings) as opened:
            events = outcome_events(settings)
            return await resolve(opened, events, evaluation_id, resolution, cleanup_deadline=settings.cleanup_time)

    console().print(f"Cancellation {run_on_postgres(close())} of evaluation {evaluation_id} is closed as {outcome}.")


@app.command()
def skip(
    partition: Annotated[int, typer.Option(min=0, help="Partition of the commands topic.")],
    offset: Annotated[int, typer.Option(min=0, help="Where it stands still, as the log and /readyz say.")],
    reason: Annotated[str, typer.Option(help="Why nothing of it is needed. Stored, and published as a dead letter.")],
    operator: Annotated[str, typer.Option(help="Your name. Stored, and published.", envvar="USER")],
    through: Annotated[int | None, typer.Option(help="The last offset to pass over. Default: the first.")] = None,
) -> None:
    """Pass over records that cannot be read. The commands among them get no answer but a dead letter."""
    from evaluation_cancel.consumer.intake.skip import Skip, skip  # noqa: PLC0415  # see above
    from evaluation_cancel.consumer.wiring import outcome_events  # noqa: PLC0415  # all clients

    settings = load_settings(ConsumerSettings)
    if not reason.strip() or not operator.strip():
        raise typer.BadParameter("--reason and --operator must not be empty")
    skipped = Skip(
        topic=settings.topics.commands,
        partition=partition,
        first=offset,
        last=offset if through is None else through,
        operator=operator,
        reason=reason,
    )

    async def record() -> None:
        async with database(settings) as opened:
            await skip(opened, outcome_events(settings), skipped)

    run_on_postgres(record())
    console().print(f"Offsets {skipped.first} to {skipped.last} are skipped; the intake goes on within a minute.")


def _loops(text: str) -> list[Loop]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in ALL_LOOPS]
    if unknown or not names:
        raise typer.BadParameter(f"unknown loops: {unknown or 'none given'}; choose from {', '.join(ALL_LOOPS)}")
    return [loop for loop in ALL_LOOPS if loop in names]


async def _serve(settings: ConsumerSettings, loops: list[Loop], clusters: list[str]) -> None:
    from evaluation_cancel.consumer.app import service  # noqa: PLC0415  # all clients

    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with service(settings, loops, clusters) as (_, port):
        search_rarely()
        if not settings.clusters and "teardown" in loops:
            _log.warning(
                "CLUSTERS is empty: no Job is looked for, and cancellations of evaluations with a Job stay open.",
                action="no_clusters",
            )
        _log.info("The service runs.", action="started", loops=loops, worker=settings.worker, http_port=port)
        await stopped.wait()
        _log.info("Stopping: no new commands are read.", action="stopping")
    _log.info("Stopped.", action="stopped")


def _use_uvloop() -> None:
    if sys.platform != "win32":
        import uvloop  # noqa: PLC0415  # not on every platform

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def main() -> None:
    app()


if __name__ == "__main__":
    main()
