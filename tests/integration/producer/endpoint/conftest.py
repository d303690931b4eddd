"""One endpoint with a consumer behind it for all tests here; tests that break a part start their own."""

from collections.abc import AsyncIterator

import pytest

from deploy.local.services.issuer import Issuer, issuer
from deploy.local.stand.stack import Stack
from tests.support.environment import unique
from tests.support.producer.service import Service, service


@pytest.fixture(scope="session")
async def tokens() -> AsyncIterator[Issuer]:
    async with issuer() as started:
        yield started


@pytest.fixture(scope="session")
async def served(environment: Stack, migrated: str, tokens: Issuer) -> AsyncIterator[Service]:
    name = unique("http")
    dsn = await environment.postgres.create_database(name, template=migrated)
    async with service(environment, dsn, f"{name}-", tokens) as made:
        yield made
