"""Connections to Postgres: the pool, transactions, and how rows are read.

What the driver's errors mean is in `errors.py`; the queries are in the modules beside this one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import asyncpg

from evaluation_cancel.consumer.sql.errors import PostgresError, is_stale, translated
from evaluation_cancel.consumer.sql.session import SessionSettings
from evaluation_cancel.schemas.postgres.login import PostgresLogin

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[asyncpg.Record]
    Transaction = PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = Transaction = Pool = Any

_Value = TypeVar("_Value")

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


async def connect(login: PostgresLogin, _dsn: None = None, **options: Any) -> Connection:
    """Opens one connection with the address and the password as they are now."""
    return await asyncpg.connect(**(options | await login.arguments()))


async def open_pool(
    login: PostgresLogin, *, max_size: int, statement_cache_size: int, session: SessionSettings
) -> Pool:
    """A pool whose sessions the server ends when their process stalls or vanishes.

    A stopped process keeps its row locks until the server ends its session. Both the idle time in a transaction and
    the detection of a dead connection are therefore limited to well below the shortest lease.
    """
    return await asyncpg.create_pool(
        connect=partial(connect, login),
        min_size=0,  # a service started during an outage of Postgres waits for its end
        max_size=max_size,
        command_timeout=session.statement_timeout_ms / 1000 + 5,
        statement_cache_size=statement_cache_size,
        max_inactive_connection_lifetime=60,
        reset=_nothing_to_reset,
        server_settings=session.at_startup(),
    )


async def _nothing_to_reset(_connection: object) -> None:
    """No query here changes its session, so the driver's reset would only cost a round trip for each transaction.

    The driver still rolls back a transaction that was left open.
    """


class Database:
    """Opens transactions (READ COMMITTED) and connections for single statements, and translates their errors."""

    def __init__(self, pool: Pool, *, begin: str = "") -> None:
        """`begin`: statements for the beginning of each transaction, where sessions cannot be set up otherwise."""
        self._pool = pool
        self._begin = begin

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """One transaction. Raises `TemporaryError` when repeating it may succeed, `Unstorable` when it never will."""
        with translated():
            async with self._acquired() as connection, connection.transaction():
                if self._begin:
                    await connection.execute(self._begin)
                yield connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Transaction]:
        """A connection for single statements, each a transaction of its own. Raises the same errors.

        Where transactions need `begin`, all the statements are one.
        """
        if self._begin:
            async with self.transaction() as transaction:
                yield transaction
            return
        with translated():
            async with self._acquired() as connection:
                yield connection

    async def renew(self) -> None:
        """Gives up all sessions once they are free: after a failover they may lead to the wrong server."""
        await self._pool.expire_connections()

    async def close(self) -> None:
        """Closes the pool; waits for connections in use."""
        await self._pool.close()

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator[Transaction]:
        try:
            async with self._pool.acquire(timeout=10) as connection:
                yield connection
        except PostgresError as error:
            if is_stale(error):
                await self.renew()
            raise
