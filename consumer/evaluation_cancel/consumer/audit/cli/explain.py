"""The command `explain`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Final
from uuid import UUID

import typer
from rich.console import Console

from evaluation_cancel.consumer.audit.cli import wiring
from evaluation_cancel.consumer.audit.cli.options import Source, history_from, moment
from evaluation_cancel.consumer.audit.cli.settings import AuditSettings
from evaluation_cancel.consumer.audit.cli.terminal import CANNOT_ANSWER, run_command
from evaluation_cancel.consumer.audit.explain.explain import Explain, Explanation
from evaluation_cancel.consumer.audit.explain.view import print_json, show
from evaluation_cancel.schemas.settings.loading import load_settings

_UNKNOWN: Final = 1


def explain_command(
    evaluation_id: UUID,
    since: Annotated[
        str | None,
        typer.Option("--from", help="A time or an age (36h). Default: an hour before the earliest time in Postgres."),
    ] = None,
    patience: Annotated[float, typer.Option(help="Seconds for each source.", min=1)] = 120.0,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the timeline of one evaluation, with the sources of each line.

    Exits with 1 when the evaluation is unknown, and with 2 when a source that may know it could not be read.
    """
    settings = load_settings(AuditSettings)
    explanation = run_command(explain_evaluation(settings, evaluation_id, moment(since, datetime.now(UTC)), patience))
    if as_json:
        print_json(explanation)
    else:
        show(explanation, Console(highlight=False))
    is_known = explanation.entries or (explanation.stored and explanation.stored.evaluation)
    sys.exit(0 if is_known else CANNOT_ANSWER if explanation.unread else _UNKNOWN)


async def explain_evaluation(
    settings: AuditSettings, evaluation_id: UUID, since: datetime | None, patience: float
) -> Explanation:
    """Explain an evaluation from all sources that the settings name. `patience` is in seconds for each source."""
    sources: list[Source] = ["kafka"] if settings.audit_bucket is None else ["kafka", "archive"]
    names = settings.topics
    explain = Explain(
        database=wiring.postgres(settings),
        histories={source: partial(history_from, source, settings, tolerant=True) for source in sources},
        topics=[names.commands, names.events, names.dead_letters],
        patience=patience,
    )
    explanation = await explain.explain(evaluation_id, since)
    if settings.audit_bucket is None:
        explanation.remarks.append("There is no archive: EVALUATION_CANCEL_AUDIT_BUCKET is not set.")
    return explanation
