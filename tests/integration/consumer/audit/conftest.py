"""The history that the audit tests look at, made once; and copies of its database to tamper with."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from deploy.local.stand.stack import Stack
from tests.support.audit.history import History, made_history
from tests.support.environment import unique


@pytest.fixture(scope="session")
async def history(
    environment: Stack, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[History]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", environment.s3.access_key)
        patch.setenv("AWS_SECRET_ACCESS_KEY", environment.s3.secret_key)
        async with made_history(environment, migrated, tmp_path_factory.mktemp("audit")) as made:
            yield made


@pytest.fixture
async def copy(environment: Stack, history: History) -> AsyncIterator[str]:
    """The DSN of a copy of the history's database."""
    name = unique("copy")
    yield await environment.postgres.create_database(name, template=history.database)
    await environment.postgres.drop_database(name)
