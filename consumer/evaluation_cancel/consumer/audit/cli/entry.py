"""The command group `audit`. Without the extra `audit` it is one command that names the extra to install."""

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
        """Explain, replay, archive, verify and report; needs `pip install evaluation-cancel[audit]`."""
        raise typer.BadParameter(f"{_missing} is not installed: pip install 'evaluation-cancel[audit]'")
