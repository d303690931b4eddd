"""Opens the pool of connections to Postgres that the settings describe, for the service and for commands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from consumer.settings import ConsumerSettings
from consumer.store.database import Database, open_pool


@asynccontextmanager
async def database(settings: ConsumerSettings) -> AsyncIterator[Database]:
    """Open for as long as the context lasts; no connection is made by opening it."""
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
