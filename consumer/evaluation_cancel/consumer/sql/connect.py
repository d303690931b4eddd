"""Opens the pool of Postgres connections from the settings, for the service and for commands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from pydantic import SecretStr

from evaluation_cancel.consumer.sql.database import Database, open_pool


class PostgresSettings(Protocol):
    """The settings of a pool, documented in `ConsumerSettings`."""

    @property
    def postgres_dsn(self) -> SecretStr: ...
    @property
    def postgres_pool_size(self) -> int: ...
    @property
    def postgres_statement_timeout(self) -> float: ...
    @property
    def postgres_lock_timeout(self) -> float: ...
    @property
    def postgres_statement_cache_size(self) -> int: ...


@asynccontextmanager
async def database(settings: PostgresSettings) -> AsyncIterator[Database]:
    """Open the pool until the context ends. The first query connects, not the opening."""
    pool = await open_pool(
        settings.postgres_dsn.get_secret_value(),
        max_size=settings.postgres_pool_size,
        statement_timeout_ms=int(settings.postgres_statement_timeout * 1000),
        lock_timeout_ms=int(settings.postgres_lock_timeout * 1000),
        statement_cache_size=settings.postgres_statement_cache_size,
        application_name="evaluation-cancel",
    )
    try:
        yield Database(pool)
    finally:
        pool.terminate()
