"""Opens the pool of Postgres connections from the settings, for the service and for commands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from evaluation_cancel.consumer.sql.database import Database, open_pool
from evaluation_cancel.consumer.sql.session import SessionSettings
from evaluation_cancel.schemas.postgres.login import PostgresLogin


class PostgresSettings(Protocol):
    """The settings of a pool, documented in `ConsumerSettings`."""

    def postgres_login(self) -> PostgresLogin: ...
    @property
    def postgres_pool_size(self) -> int: ...
    @property
    def postgres_statement_timeout(self) -> float: ...
    @property
    def postgres_lock_timeout(self) -> float: ...
    @property
    def postgres_statement_cache_size(self) -> int: ...
    @property
    def postgres_startup_parameters(self) -> bool: ...


@asynccontextmanager
async def database(settings: PostgresSettings) -> AsyncIterator[Database]:
    """Open the pool until the context ends. The first query connects, not the opening."""
    session = SessionSettings(
        application_name="evaluation-cancel",
        statement_timeout_ms=int(settings.postgres_statement_timeout * 1000),
        lock_timeout_ms=int(settings.postgres_lock_timeout * 1000),
        startup_parameters=settings.postgres_startup_parameters,
    )
    pool = await open_pool(
        settings.postgres_login(),
        max_size=settings.postgres_pool_size,
        statement_cache_size=settings.postgres_statement_cache_size,
        session=session,
    )
    try:
        yield Database(pool, begin=session.at_begin())
    finally:
        pool.terminate()
