"""`config`: show the settings of the consumer, and where each value came from."""

from __future__ import annotations

import typer

from evaluation_cancel.consumer.settings import ConsumerSettings
from evaluation_cancel.schemas.settings.loading import load_settings
from evaluation_cancel.schemas.settings.shown import shown_settings

app = typer.Typer(no_args_is_help=True, help="Show the settings.")


@app.callback()
def config() -> None:
    """Show the settings."""


@app.command()
def show() -> None:
    """Print each setting with its value and where that came from. Secrets are masked."""
    for line in shown_settings(load_settings(ConsumerSettings)):
        print(line)  # noqa: T201  # the command's answer
