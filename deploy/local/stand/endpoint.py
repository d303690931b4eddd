"""The HTTP endpoint on a running stack: a process of its own with a Postgres login that can read two views.

Tokens come from `services/issuer.py`. The consumers, without which nothing is decided, are started elsewhere.
"""

import json
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import asyncpg

from deploy.local.processes.plain_http import succeeds
from deploy.local.processes.ports import LOOPBACK, free_port
from deploy.local.processes.process import Child
from deploy.local.services.issuer import Issuer
from deploy.local.stand.stack import Stack
from evaluation_cancel.consumer.migrations.reader_role import READER_ROLE
from evaluation_cancel.schemas.kafka_settings import KafkaSettings
from evaluation_cancel.schemas.settings.environment import ENVIRONMENT_PREFIX


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One process of `python -m evaluation_cancel.producer serve`."""

    url: str
    child: Child
    environment: Mapping[str, str]

    async def is_ready(self) -> bool:
        return await succeeds(f"{self.url}/readyz")


@asynccontextmanager
async def endpoint(
    stack: Stack,
    dsn: str,
    kafka: KafkaSettings,
    tokens: Issuer,
    *,
    name: str = "endpoint",
    port: int | None = None,
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[Endpoint]:
    """A ready endpoint, ended in order. `settings`: further ones, without their prefix."""
    started = start_endpoint(
        stack, await reader_dsn(dsn), kafka, tokens, name=name, port=port or free_port(), settings=settings
    )
    try:
        await started.child.ready(started.is_ready)
        yield started
    finally:
        if started.child.running:
            await started.child.stop(patience=40)


def start_endpoint(
    stack: Stack,
    reader: str,
    kafka: KafkaSettings,
    tokens: Issuer,
    *,
    name: str,
    port: int,
    settings: Mapping[str, str] | None = None,
) -> Endpoint:
    """Start it and do not wait. `reader`: what `reader_dsn` gave."""
    issuers = {tokens.issuer: {"jwks_url": tokens.jwks_url, "audience": tokens.audience}}
    named = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.kafka_bootstrap_servers,
        "TOPIC_PREFIX": kafka.topic_prefix,
        "ENDPOINT_HOST": LOOPBACK,
        "ENDPOINT_PORT": str(port),
        "ENDPOINT_POSTGRES_DSN": reader,
        "ENDPOINT_ISSUERS": json.dumps(issuers),
        **(settings or {}),
    }
    environment = {f"{ENVIRONMENT_PREFIX}{key}": value for key, value in named.items()}
    child = stack.work.start(
        name, [sys.executable, "-m", "evaluation_cancel.producer", "serve"], environment=environment
    )
    return Endpoint(url=f"http://{LOOPBACK}:{port}", child=child, environment=environment)


async def reader_dsn(dsn: str) -> str:
    """Make a login that can do what the endpoint needs and nothing else, and give its DSN."""
    user, password = f"endpoint_{secrets.token_hex(4)}", secrets.token_urlsafe(16)
    connection = await asyncpg.connect(dsn, timeout=30)
    try:
        await connection.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{password}' IN ROLE {READER_ROLE}")
    finally:
        await connection.close()
    parts = urlsplit(dsn)
    return parts._replace(netloc=f"{user}:{password}@{parts.hostname}:{parts.port}").geturl()
