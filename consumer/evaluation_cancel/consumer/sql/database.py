"""Connections to Postgres: the pool, transactions, how rows are read, and what each of the driver's errors means.

The queries are in the modules beside this one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import asyncpg

from evaluation_cancel.consumer.domain.errors import TemporaryError, Unstorable

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Transaction = PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Transaction = Pool = Any

_Value = TypeVar("_Value")

_DATA_CLASSES: Final = ("22", "23", "54", "EC", "P0")
"""SQLSTATE classes of a row that can never be stored: data exception, integrity, program limit, our trigger's refusal
(EC), and an exception raised by a trigger of the table's owner (P0). They concern one row; all others go on."""
_PASSING_CLASSES: Final = ("08", "40", "53", "57")
"""Connection, rollback (serialization, deadlock), resources, operator intervention (shutdown, timeouts)."""
_PASSING_STATES: Final = ("55000", "55P03", "25006", "25P03")
"""Not accepting connections; lock not available; read-only (a failover under way); idle in transaction timed out."""


PostgresError = asyncpg.PostgresError
"""The driver's class for an error that Postgres reports; `translated` lets some of these through."""

Row = Mapping[str, Any]
"""A row as the driver returns it: columns by name."""


async def fetch(tx: Transaction, query: str, *arguments: object) -> list[Row]:
    """All rows of a query, with columns by name."""
    return cast("list[Row]", await tx.fetch(query, *arguments))


async def fetch_as(value: Callable[..., _Value], tx: Transaction, query: str, *arguments: object) -> list[_Value]:
    """All rows of a query, each as a dataclass. Raises `TypeError` when its fields are not the query's columns."""
    return [value(**record) for record in await tx.fetch(query, *arguments)]


def row_count(status: str) -> int:
    """How many rows a statement wrote, from the status that `execute` returns, such as `UPDATE 3`."""
    return int(status.rpartition(" ")[2])


async def open_pool(
    dsn: str,
    *,
    max_size: int,
    statement_timeout_ms: int,
    lock_timeout_ms: int,
    statement_cache_size: int,
    application_name: str,
) -> Pool:
    """A pool whose sessions the server ends when their process stalls or vanishes.

    A stopped process keeps its row locks until the server ends its session. Both the idle time in a transaction and
    the detection of a dead connection are therefore limited to well below the shortest lease.
    """
    return await asyncpg.create_pool(
        dsn,
        min_size=0,  # a service started during an outage of Postgres waits for its end
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
    """Settings of each session. A pooler in between must pass them on or be configured to ignore them."""
    return {
        "search_path": "pg_catalog",
        "statement_timeout": str(statement_timeout_ms),
        "lock_timeout": str(lock_timeout_ms),
        "idle_in_transaction_session_timeout": str(statement_timeout_ms),
        # Every query finds its rows by key. Without statistics, or while they lag behind a flood of commands, the
        # planner would read whole tables for a few hundred rows.
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "enable_seqscan": "off",
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
    }


async def _nothing_to_reset(_connection: object) -> None:
    """No query here changes its session, so the driver's reset would only cost a round trip for each transaction.

    The driver still rolls back a transaction that was left open.
    """


class Database:
    """Opens transactions (READ COMMITTED) and connections for single statements, and translates their errors."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """One transaction. Raises `TemporaryError` when repeating it may succeed, `Unstorable` when it never will."""
        with translated():
            async with self._pool.acquire(timeout=10) as connection, connection.transaction():
                yield connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Transaction]:
        """A connection for single statements, each a transaction of its own. Raises the same errors."""
        with translated():
            async with self._pool.acquire(timeout=10) as connection:
                yield connection

    async def close(self) -> None:
        """Closes the pool; waits for connections in use."""
        await self._pool.close()


@contextmanager
def translated() -> Iterator[None]:
    """Translates the driver's errors into `TemporaryError` and `Unstorable`; any other error is a bug and passes."""
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
