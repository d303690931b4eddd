"""Connections to Postgres: the pool, the transaction, and what each of its errors asks for.

Holds no query of the domain; those are in the modules beside this one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import asyncpg

from evaluation_cancel.consumer.domain.errors import TemporaryError, Unstorable

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Transaction = PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Transaction = Pool = Any

_DATA_CLASSES: Final = ("22", "23", "54", "EC", "P0")
"""SQLSTATE classes of a row that can never be stored: data exception, integrity, program limit; what our own trigger
refuses, and what one of the team whose table it is raises: about one row, so that all others are to go on."""
_PASSING_CLASSES: Final = ("08", "40", "53", "57")
"""Connection, rollback (serialization, deadlock), resources, operator intervention (shutdown, timeouts)."""
_PASSING_STATES: Final = ("55000", "55P03", "25006", "25P03")
"""Not accepting connections; lock not available; read-only (a failover under way); idle in transaction timed out."""


PostgresError = asyncpg.PostgresError
"""What the driver raises for an error that Postgres reports, where `translated` lets it through."""

Row = Mapping[str, Any]
"""A row as the driver gives it: columns by name."""


async def fetch(tx: Transaction, query: str, *arguments: object) -> list[Row]:
    """All rows of a query, as plain mappings to the type checker."""
    return cast("list[Row]", await tx.fetch(query, *arguments))


async def open_pool(
    dsn: str,
    *,
    max_size: int,
    statement_timeout_ms: int,
    lock_timeout_ms: int,
    statement_cache_size: int,
    application_name: str,
) -> Pool:
    """A pool whose sessions end by themselves when their process stalls or vanishes.

    A stopped process keeps its row locks until the server ends its session, so that an idle transaction and a dead
    link are bounded, both well below the shortest lease.
    """
    return await asyncpg.create_pool(
        dsn,
        min_size=0,  # a service that is started during an outage waits like one that runs
        max_size=max_size,
        command_timeout=statement_timeout_ms / 1000 + 5,
        statement_cache_size=statement_cache_size,
        max_inactive_connection_lifetime=60,
        reset=_nothing_to_reset,
        server_settings={
            "application_name": application_name,
            **session_settings(statement_timeout_ms, lock_timeout_ms),
        },
    )


def session_settings(statement_timeout_ms: int, lock_timeout_ms: int) -> dict[str, str]:
    """What each session is given at its start; a pooler between must pass it on, or be told to ignore it."""
    return {
        "search_path": "pg_catalog",
        "statement_timeout": str(statement_timeout_ms),
        "lock_timeout": str(lock_timeout_ms),
        "idle_in_transaction_session_timeout": str(statement_timeout_ms),
        # All we ask is asked by key. Before statistics exist, or when they lag behind a flood of commands, the planner
        # would read whole tables for a few hundred rows.
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "enable_seqscan": "off",
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
    }


async def _nothing_to_reset(_connection: object) -> None:
    """No query here changes its session, so that the driver's reset would cost a round trip a transaction for nothing.

    What the driver does without asking Postgres still happens: a transaction left open is rolled back.
    """


class Database:
    """Gives out transactions (READ COMMITTED) and single statements, with errors translated."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """One transaction; raises `TemporaryError` when it is worth repeating, `Unstorable` when it never will be."""
        with translated():
            async with self._pool.acquire(timeout=10) as connection, connection.transaction():
                yield connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Transaction]:
        """A connection for one statement that is its own transaction."""
        with translated():
            async with self._pool.acquire(timeout=10) as connection:
                yield connection

    async def close(self) -> None:
        await self._pool.close()


@contextmanager
def translated() -> Iterator[None]:
    """Turns the driver's errors into ours; what is neither passing nor about data is a bug and goes through."""
    try:
        yield
    except asyncpg.PostgresError as error:
        state = error.sqlstate or ""
        if state.startswith(_DATA_CLASSES):
            raise Unstorable("unstorable", f"Postgres refused a value: {error}") from error
        if state.startswith(_PASSING_CLASSES) or state in _PASSING_STATES:
            raise TemporaryError("postgres_unavailable", f"{state}: {error}", outcome_unknown=True) from error
        raise
    except UnicodeEncodeError as error:
        raise Unstorable("unstorable", f"not valid UTF-8: {error.reason}") from error
    except (OSError, TimeoutError, asyncpg.InterfaceError) as error:
        if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
            raise Unstorable("unstorable", f"the driver refused a value: {error}") from error
        raise TemporaryError(
            "postgres_unavailable", str(error) or type(error).__name__, outcome_unknown=True
        ) from error
