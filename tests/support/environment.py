"""Fixtures of the integration and end-to-end tests: the environment, and a database, topics and so on for each test.

`TEST_STACK` chooses the environment: `memory` (in-memory Kafka, simulated Kubernetes; the default), `real` (Apache
Kafka, a real Kubernetes API) or `containers` (testcontainers). All have Postgres and S3. All tests of a run share the
parts, so each test uses its own database, topics, namespace and bucket. A test that breaks a part starts its own
(`deploy.local.stand.stack`).
"""

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aioboto3
import pytest

from deploy.local.errors import StandError
from deploy.local.kafka.broker import ensure_topics
from deploy.local.kubernetes.admin import administrator, create_namespace, delete_namespace
from deploy.local.stand.stack import Stack, stack
from evaluation_cancel.consumer.migrations import schema
from evaluation_cancel.schemas.postgres.login import PostgresLogin
from evaluation_cancel.schemas.topics import Topics
from tests.support.stacks import chosen_stack

TEMPLATE = "migrated"


def unique(prefix: str) -> str:
    """A name that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


@pytest.fixture(scope="session")
async def environment() -> AsyncIterator[Stack]:
    """All parts, started once for the run."""
    match chosen_stack():
        case "memory":
            parts = stack(kafka="memory", kubernetes="simulated")
        case "real":
            parts = stack(kafka="real", kubernetes="real", objects="real")
        case _:
            from deploy.local.stand.containers import containers  # noqa: PLC0415  # Docker's client is slow to import

            parts = containers()
    async with AsyncExitStack() as running:
        try:
            started = await running.enter_async_context(parts)
        except StandError as error:
            # End the run with one message, or each of hundreds of tests would print it.
            pytest.exit(f"TEST_STACK={chosen_stack()} cannot be started. {error}", returncode=1)
        yield started


@pytest.fixture(scope="session")
async def migrated(environment: Stack) -> str:
    """The name of a database with the schema, used as a template only: a copy is faster than an upgrade."""
    await schema.upgrade(PostgresLogin.at(await environment.postgres.create_database(TEMPLATE)))
    return TEMPLATE


@pytest.fixture
async def database(environment: Stack, migrated: str) -> AsyncIterator[str]:
    """The DSN of a fresh database with the schema."""
    name = unique("test")
    yield await environment.postgres.create_database(name, template=migrated)
    await environment.postgres.drop_database(name)


@pytest.fixture
async def empty_database(environment: Stack) -> AsyncIterator[str]:
    """The DSN of a fresh, empty database."""
    name = unique("test")
    yield await environment.postgres.create_database(name)
    await environment.postgres.drop_database(name)


@pytest.fixture
async def topics(environment: Stack) -> Topics:
    """Fresh topics. On the in-memory broker they have four partitions, on others twelve."""
    fresh = Topics(f"{unique('t')}-")
    await ensure_topics(environment.kafka, fresh.specs())
    return fresh


@pytest.fixture
async def namespace(environment: Stack) -> AsyncIterator[str]:
    """A fresh Kubernetes namespace. Its deletion is requested at the end, without waiting."""
    name = unique("test")
    async with administrator(environment.cluster) as client:
        await create_namespace(client, name)
        yield name
        await delete_namespace(client, name)


@pytest.fixture
async def bucket(environment: Stack) -> str:
    """The name of a fresh, empty, unversioned bucket."""
    name, s3 = unique("test"), environment.s3
    session = aioboto3.Session(s3.access_key, s3.secret_key, region_name=s3.region)
    async with session.client("s3", endpoint_url=s3.endpoint_url) as client:
        await client.create_bucket(Bucket=name)
    return name
