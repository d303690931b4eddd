"""The command `explain`."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console

from evaluation_cancel.consumer.audit.cli import wiring as parts
from evaluation_cancel.consumer.audit.cli.options import Source, history_from, moment
from evaluation_cancel.consumer.audit.cli.settings import AuditSettings
from evaluation_cancel.consumer.audit.cli.terminal import CANNOT, ask
from evaluation_cancel.consumer.audit.explain.explain import Explain, Explanation
from evaluation_cancel.consumer.audit.explain.view import print_json, show
from evaluation_cancel.consumer.audit.history.history import History
from evaluation_cancel.schemas.kafka_settings import load_settings


def explain_command(
    evaluation_id: UUID,
    since: Annotated[
        str | None,
        typer.Option("--from", help="A time or an age (36h); by default an hour before Postgres first knew of it."),
    ] = None,
    patience: Annotated[float, typer.Option(help="Seconds for each source.", min=1)] = 120.0,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell one evaluation's whole story, each line with its source.

    Exits with 1 when nothing is known of it, and with 2 when that may be because a source could not be read.
    """
    settings = load_settings(AuditSettings)
    explanation = ask(explained(settings, evaluation_id, moment(since, datetime.now(UTC)), patience))
    if as_json:
        print_json(explanation)
    else:
        show(explanation, Console(highlight=False))
    known = explanation.entries or (explanation.stored and explanation.stored.evaluation)
    sys.exit(0 if known else CANNOT if explanation.unread else 1)


async def explained(
    settings: AuditSettings, evaluation_id: UUID, since: datetime | None, patience: float
) -> Explanation:
    names = settings.topics
    histories: dict[Source, Callable[..., object]] = {"kafka": partial(_open, "kafka", settings)}
    if settings.audit_bucket is not None:
        histories["archive"] = partial(_open, "archive", settings)
    explain = Explain(
        database=parts.postgres(settings),
        histories=histories,  # type: ignore[arg-type]  # partial hides the signature
        topics=[names.commands, names.events, names.dead_letters],
        patience=patience,
    )
    explanation = await explain.explain(evaluation_id, since)
    if settings.audit_bucket is None:
        explanation.remarks.append("There is no archive: EVALUATION_CANCEL_AUDIT_BUCKET is not set.")
    return explanation


@asynccontextmanager
async def _open(source: Source, settings: AuditSettings, say: Callable[[str], None]) -> AsyncIterator[History]:
    async with history_from(source, settings, say, tolerant=True) as history:
        yield history
