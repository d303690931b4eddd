"""`cancel-consumer audit`, or an error that names the extra to install: the service runs without it."""

from __future__ import annotations

import typer

__all__ = ["app"]

try:
    from evaluation_cancel.consumer.audit.cli.commands import app
except ModuleNotFoundError as missing:
    _missing = missing.name
    app = typer.Typer(help="Needs the extra `audit`.")

    @app.callback(invoke_without_command=True)
    def absent() -> None:
        """Tell, replay, archive and verify what was decided; needs `pip install evaluation-cancel[audit]`."""
        raise typer.BadParameter(f"{_missing} is not installed: pip install 'evaluation-cancel[audit]'")
