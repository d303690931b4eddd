"""Opens the one connection that a migration or a check runs on."""

from __future__ import annotations

from typing import Any

import asyncpg

from evaluation_cancel.schemas.postgres.login import PostgresLogin


async def connect(login: PostgresLogin) -> Any:
    """A connection with the driver's own settings. Raises the driver's error, or `OSError`."""
    return await asyncpg.connect(**await login.arguments())
