"""All SQL of the endpoint: the state of commands and of cancellations. It reads two views and writes nothing.

Every query has a time limit; its errors become `StoreUnavailable`. `waiting.py` and `status.py` use it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

import asyncpg

from evaluation_cancel.schemas.postgres.login import PostgresLogin
from evaluation_cancel.schemas.teams import spellings

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = Any

# All commands that requests wait for, in one query.
ANSWERS: Final = """
SELECT id, evaluation_id, meaning, decision, code, status_seen, ended_seen, cancellation_id, phase, last_error_code,
    (SELECT (p.evidence ->> 'stop_proven')::boolean FROM evaluation_cancel.cancellation_progress p
        WHERE p.id = cancellation_id AND p.phase = 'cancelled') AS stop_proven
FROM evaluation_cancel.command_answers WHERE source = $1 AND id = ANY ($2)
"""

PROGRESS_COLUMNS: Final = """
    p.id AS cancellation_id, p.actor_kind, p.actor_id, p.reason, p.phase, p.attempts, p.last_error_code,
    p.last_error_at, p.requested_at, p.accepted_at, p.ended_at, p.evidence, p.cleanup_state, p.cleanup_error_code
"""

# For a member of the evaluation's team; and for its sender where no team is in sight: not decided yet, or refused
# because there is no such evaluation for them.
COMMAND: Final = f"""
SELECT c.id AS command_id, c.evaluation_id, c.decision, c.code, c.received_at, c.decided_at, c.status_seen,
    c.ended_seen, c.requested_at AS asked_at, c.reason AS asked_reason, c.actor_kind AS asker_kind,
    c.actor_id AS asker_id, {PROGRESS_COLUMNS}
FROM evaluation_cancel.command_answers c LEFT JOIN evaluation_cancel.cancellation_progress p
    ON p.id = c.cancellation_id AND c.decision <> 'rejected'
WHERE c.source = $1 AND c.id = $2 AND (
    (c.team_seen = ANY ($3) AND c.code IS DISTINCT FROM 'forbidden')
    OR (c.actor_kind = $4 AND c.actor_id = $5 AND (c.decision IS NULL OR c.code IN ('not_found', 'forbidden'))))
"""

# The open one, else the newest. Two conditions on the phase, as each has an index of its own.
LATEST: Final = f"""
SELECT * FROM (
    SELECT p.evaluation_id, {PROGRESS_COLUMNS} FROM evaluation_cancel.cancellation_progress p
    WHERE p.evaluation_id = $1 AND p.ended_at IS NULL AND p.team_id = ANY ($2)
    UNION ALL
    SELECT p.evaluation_id, {PROGRESS_COLUMNS} FROM evaluation_cancel.cancellation_progress p
    WHERE p.evaluation_id = $1 AND p.ended_at IS NOT NULL AND p.team_id = ANY ($2)
) found ORDER BY accepted_at DESC LIMIT 1
"""

PING: Final = "SELECT FROM evaluation_cancel.command_answers LIMIT 0"

_REFUSALS: Final = ("28", "3D", "3F", "42")
"""SQLSTATE classes: login, no such database, no such schema, no such view or no right to it."""
_STALE_SESSIONS: Final = ("57P01", "57P02", "57P03", "57P05")
"""Shut down, crashed, starting up, timed out: a new session may reach the server that took over."""

Row = Mapping[str, Any]


class StoreUnavailable(Exception):  # noqa: N818 - a state of the world
    """Postgres does not answer now."""

    def __init__(self, detail: str, *, misconfigured: bool = False) -> None:
        super().__init__(detail)
        self.misconfigured = misconfigured
        """It answers, and refuses us: a wrong login, a missing schema. Waiting does not help."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandSeen:
    """A command's inbox row with its cancellation, as far as an answer needs it."""

    id: str
    evaluation_id: UUID
    meaning: bytes
    decision: str | None
    code: str | None
    status_seen: str | None
    ended_seen: datetime | None
    cancellation_id: UUID | None
    phase: str | None
    last_error_code: str | None
    stop_proven: bool | None = None
    """Of a cancelled one; None if an older version ended it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreAccess:
    """How Postgres is reached; see the settings of these names."""

    login: PostgresLogin
    pool_size: int
    timeout: float
    statement_cache_size: int
    startup_parameters: bool = True

    def session(self) -> dict[str, str]:
        """The settings of each session, or of each transaction."""
        return {"search_path": "pg_catalog", "statement_timeout": str(int(self.timeout * 1000))}


async def open_store(access: StoreAccess) -> Store:
    """Connects when first asked: the endpoint can start while Postgres is away."""
    application = {"application_name": "evaluation-cancel endpoint", "default_transaction_read_only": "on"}
    pool = await asyncpg.create_pool(
        connect=partial(_connect, access.login),
        min_size=0,
        max_size=access.pool_size,
        timeout=access.timeout,
        command_timeout=access.timeout,
        statement_cache_size=access.statement_cache_size,
        max_inactive_connection_lifetime=60,
        server_settings={**application, **access.session()} if access.startup_parameters else {},
    )
    settings = {} if access.startup_parameters else access.session()
    return Store(pool, access.timeout, "; ".join(f"SET LOCAL {name} = {value}" for name, value in settings.items()))


async def _connect(login: PostgresLogin, _dsn: None = None, **options: Any) -> Any:
    return await asyncpg.connect(**(options | await login.arguments()))


class Store:
    """Safe to share by all tasks of one event loop."""

    def __init__(self, pool: Pool, timeout: float, begin: str = "") -> None:
        """`begin`: statements for the beginning of each transaction, where sessions cannot be set up otherwise."""
        self._pool = pool
        self._timeout = timeout
        self._begin = begin

    async def answers(self, source: str, ids: Sequence[str]) -> dict[str, CommandSeen]:
        """Those of the commands that are recorded."""
        rows = await self._fetch(ANSWERS, source, list(ids))
        return {row["id"]: CommandSeen(**row) for row in rows}

    async def command(self, source: str, command_id: str, teams: Sequence[str], actor: tuple[str, str]) -> Row | None:
        """A command and its cancellation, if these teams or this actor may know of it."""
        rows = await self._fetch(COMMAND, source, command_id, _spelled(teams), *actor)
        return rows[0] if rows else None

    async def latest(self, evaluation_id: UUID, teams: Sequence[str]) -> Row | None:
        """The latest cancellation of an evaluation of one of these teams."""
        rows = await self._fetch(LATEST, evaluation_id, _spelled(teams))
        return rows[0] if rows else None

    async def ping(self) -> None:
        await self._fetch(PING)

    async def close(self) -> None:
        """At once: nothing here is worth waiting for."""
        self._pool.terminate()

    async def _fetch(self, query: str, *arguments: object) -> Sequence[Row]:
        try:
            async with self._pool.acquire(timeout=self._timeout) as connection:
                if not self._begin:
                    return cast("Sequence[Row]", await connection.fetch(query, *arguments))
                async with connection.transaction(readonly=True):
                    await connection.execute(self._begin)
                    return cast("Sequence[Row]", await connection.fetch(query, *arguments))
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            state = getattr(error, "sqlstate", None) or ""
            if state in _STALE_SESSIONS:
                await self._pool.expire_connections()
            detail = f"{type(error).__name__}: {error}"
            raise StoreUnavailable(detail, misconfigured=state.startswith(_REFUSALS)) from error


def _spelled(teams: Sequence[str]) -> list[str]:
    return [spelling for team in teams for spelling in spellings(team)]
