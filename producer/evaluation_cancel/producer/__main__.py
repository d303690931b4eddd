"""The command line `cancel-producer`, the same as `python -m evaluation_cancel.producer`.

It reads options and settings and makes the clients. `cli/` does the work of `cancel`, `app.py` that of `serve`.
"""

import asyncio
import getpass
import json
import logging
import sys
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import Annotated
from uuid import UUID

import structlog
import typer
from pydantic import ValidationError
from rich.console import Console

from evaluation_cancel.producer import logs
from evaluation_cancel.producer.cli.cancelling import Progress, Wish, cancel_all, exit_code
from evaluation_cancel.producer.cli.over_http import (
    HttpWish,
    cancel_all_over_http,
    endpoint_client,
    is_safe,
    is_sendable,
)
from evaluation_cancel.producer.cli.progress import ProgressView
from evaluation_cancel.producer.errors import KafkaUnreachable
from evaluation_cancel.producer.outcomes import OutcomeFollower
from evaluation_cancel.producer.publisher import Publisher
from evaluation_cancel.producer.settings import ProducerSettings
from evaluation_cancel.schemas.commands import RequestedBy
from evaluation_cancel.schemas.identifiers import uuid7
from evaluation_cancel.schemas.settings.environment import ENVIRONMENT_PREFIX
from evaluation_cancel.schemas.settings.loading import load_settings
from evaluation_cancel.schemas.wire import fetched

NOT_KNOWN = 3

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"cancel-producer {version('evaluation-cancel-producer')}")  # noqa: T201  # the answer
        raise typer.Exit


@app.callback()
def root(
    *, _version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = False
) -> None:
    """Cancel evaluations. Settings are read from EVALUATION_CANCEL_… in the environment."""


@app.command()
def cancel(
    evaluation_ids: Annotated[list[UUID], typer.Argument(metavar="EVALUATION_ID...", show_default=False)],
    *,
    reason: Annotated[str | None, typer.Option(help="Stored with the cancellation.")] = None,
    cleanup: Annotated[bool, typer.Option("--cleanup", help="Delete the artifacts afterwards.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for every outcome, with live progress.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for each outcome.")] = 120.0,
    user: Annotated[str | None, typer.Option(help="The user who cancels. Default: your login name.")] = None,
    service: Annotated[str | None, typer.Option(help="The service that cancels, instead of a user.")] = None,
    team: Annotated[
        list[str] | None, typer.Option(envvar=f"{ENVIRONMENT_PREFIX}TEAM", help="A team to act for; repeatable.")
    ] = None,
    command_id: Annotated[
        str | None, typer.Option(help="The id of a command whose outcome is unknown, to send it again: it counts once.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(envvar=f"{ENVIRONMENT_PREFIX}URL", help="Use this HTTP endpoint instead of Kafka.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar=f"{ENVIRONMENT_PREFIX}TOKEN", help="Bearer token for the endpoint. It names the caller."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line at the end.")] = False,
) -> None:
    """Cancel evaluations, through Kafka or (--url) the HTTP endpoint.

    Exit code 0: all are cancelled (without --wait: published).

    1: some were rejected or failed. 2: wrong usage. 3: the outcome of some is unknown.
    """
    distinct = dict.fromkeys(evaluation_ids)
    _check_actor(user, service, over_http=url is not None)
    if command_id is not None and len(distinct) > 1:
        raise typer.BadParameter("--command-id names one command; give one evaluation")
    rows = [Progress(evaluation_id=each, command_id=command_id or str(uuid7())) for each in distinct]
    wait_seconds = timeout if wait else None
    if url is not None:
        http_wish = HttpWish(reason=reason, cleanup_artifacts=cleanup)
        asyncio.run(_cancel_over_http(url, token, rows, http_wish, as_json=as_json, wait_seconds=wait_seconds))
        raise typer.Exit(exit_code(rows, waited=wait))
    settings = load_settings(ProducerSettings)
    actor = _actor(user, service, team)
    wish = Wish(requested_by=actor, reason=reason, cleanup_artifacts=cleanup, source=settings.source)
    try:
        asyncio.run(_cancel(settings, rows, wish, as_json=as_json, wait_seconds=wait_seconds))
    except KafkaUnreachable as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(NOT_KNOWN) from None
    raise typer.Exit(exit_code(rows, waited=wait))


def _check_actor(user: str | None, service: str | None, *, over_http: bool) -> None:
    """Raises `BadParameter` for options that contradict each other."""
    if user is not None and service is not None:
        raise typer.BadParameter("give --user or --service, not both")
    if over_http and (user is not None or service is not None):
        raise typer.BadParameter("with --url the token names the caller; --user and --service have no meaning")


@app.command()
def serve() -> None:
    """Serve the HTTP endpoint until SIGTERM or Ctrl-C. Its settings: EVALUATION_CANCEL_ENDPOINT_…"""
    from evaluation_cancel.producer import app as service  # noqa: PLC0415  # needs the extra `http`
    from evaluation_cancel.producer.endpoint.settings import EndpointSettings  # noqa: PLC0415

    settings = load_settings(EndpointSettings)
    logs.configure(settings.endpoint_log_level)
    _use_uvloop()
    asyncio.run(service.run(settings))


@app.command()
def openapi() -> None:
    """Print the OpenAPI document of the HTTP endpoint."""
    from evaluation_cancel.producer import app as service  # noqa: PLC0415  # as above

    typer.echo(json.dumps(service.application().openapi(), indent=2))


async def _cancel_over_http(
    url: str, token: str | None, rows: list[Progress], wish: HttpWish, *, as_json: bool, wait_seconds: float | None
) -> None:
    if not is_safe(url):
        raise typer.BadParameter("--url must be https://…, or an address of this machine: a token goes with it")
    token = (token or "").strip()
    if not token:
        raise typer.BadParameter(
            f"--url needs a token; put it into {ENVIRONMENT_PREFIX}TOKEN, where process lists do not show it"
        )
    if not is_sendable(token):
        raise typer.BadParameter("the token holds characters that no token has")
    if not all(is_sendable(row.command_id) for row in rows):
        raise typer.BadParameter("--command-id goes into a header: visible ASCII characters only")
    with ProgressView(rows, Console(), as_json=as_json) as view:
        async with endpoint_client(url, token) as client:
            await cancel_all_over_http(rows, wish, client=client, wait_seconds=wait_seconds, changed=view.changed)


async def _cancel(
    settings: ProducerSettings, rows: list[Progress], wish: Wish, *, as_json: bool, wait_seconds: float | None
) -> None:
    async with AsyncExitStack() as stack:
        # Before the first command is published, so that no outcome can be missed.
        tracker = None if wait_seconds is None else await stack.enter_async_context(_follower(settings))
        publisher = await stack.enter_async_context(_publisher(settings))
        view = stack.enter_context(ProgressView(rows, Console(), as_json=as_json))
        seconds = wait_seconds or 0
        await cancel_all(rows, wish, publisher=publisher, tracker=tracker, wait_seconds=seconds, changed=view.changed)


def _publisher(settings: ProducerSettings) -> Publisher:
    return Publisher(
        client=settings.kafka_client(),
        source=settings.source,
        topics=settings.topics,
        publish_timeout=settings.publish_timeout,
        connect_timeout=settings.connect_timeout,
        stop_timeout=settings.stop_timeout,
    )


def _follower(settings: ProducerSettings) -> OutcomeFollower:
    return OutcomeFollower(
        client=settings.kafka_client(),
        topics=settings.topics,
        isolation_level=settings.kafka_isolation_level,
        connect_timeout=settings.connect_timeout,
        stop_timeout=settings.stop_timeout,
    )


@app.command()
def config(
    *, endpoint: Annotated[bool, typer.Option("--endpoint", help="Those of `serve`, which must be set.")] = False
) -> None:
    """Print each setting with its value and where that came from. Secrets are masked."""
    from evaluation_cancel.producer.endpoint.settings import EndpointSettings  # noqa: PLC0415  # seldom needed
    from evaluation_cancel.schemas.settings.shown import shown_settings  # noqa: PLC0415  # as above

    for line in shown_settings(load_settings(EndpointSettings if endpoint else ProducerSettings)):
        print(line)  # noqa: T201  # the command's answer


def _actor(user: str | None, service: str | None, teams: list[str] | None) -> RequestedBy:
    try:
        if service is not None:
            return RequestedBy(kind="service", id=service, team_ids=tuple(teams or ()))
        return RequestedBy(kind="user", id=user or getpass.getuser(), team_ids=tuple(teams or ()))
    except ValidationError as errors:
        first = errors.errors()[0]
        raise typer.BadParameter(f"{first['loc'][0]}: {first['msg']}") from None


def _use_uvloop() -> None:
    if sys.platform != "win32":
        import uvloop  # noqa: PLC0415  # not on every platform

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def _quieten() -> None:
    """The screen belongs to the progress. What goes wrong in the clients is told by the outcome."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.getLogger("evaluation_cancel").setLevel(logging.ERROR)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def main() -> None:
    _quieten()
    fetched.install()
    app()


if __name__ == "__main__":
    main()
