"""The settings of each session: how the server ends what a stalled process has begun, and how it plans."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionSettings:
    """Times in milliseconds. `startup_parameters` False: a pooler in between refuses them."""

    application_name: str
    statement_timeout_ms: int
    lock_timeout_ms: int
    startup_parameters: bool = True

    def at_startup(self) -> dict[str, str]:
        """The parameters of a new connection."""
        if not self.startup_parameters:
            return {}
        keepalives = {"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3"}
        return {"application_name": self.application_name, **self._settings(), **keepalives}

    def at_begin(self) -> str:
        """The statements at the beginning of each transaction; none if a new connection takes parameters."""
        if self.startup_parameters:
            return ""
        return "; ".join(f"SET LOCAL {name} = {value}" for name, value in self._settings().items())

    def _settings(self) -> dict[str, str]:
        return {
            "search_path": "pg_catalog",
            "statement_timeout": str(self.statement_timeout_ms),
            "lock_timeout": str(self.lock_timeout_ms),
            "idle_in_transaction_session_timeout": str(self.statement_timeout_ms),
            # Every query finds its rows by key. Without statistics, or while they lag behind a flood of commands, the
            # planner would read whole tables for a few hundred rows.
            "enable_hashjoin": "off",
            "enable_mergejoin": "off",
            "enable_seqscan": "off",
        }
