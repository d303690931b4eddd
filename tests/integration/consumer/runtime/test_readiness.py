"""What `/readyz` says of the database: its schema, whether it can be written, and whatever Postgres refuses."""

from __future__ import annotations

from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr

from deploy.local.processes.plain_http import plain_client
from evaluation_cancel.consumer.app import service
from evaluation_cancel.consumer.migrations import schema
from evaluation_cancel.consumer.settings import ConsumerSettings
from evaluation_cancel.schemas.postgres.login import PostgresLogin
from tests.support.environment import unique


async def test_the_service_is_not_ready_until_the_database_is_at_its_schema(empty_database: str) -> None:
    settings = ConsumerSettings(
        postgres_dsn=SecretStr(empty_database), worker="early", http_host="127.0.0.1", http_port=0
    )
    async with (
        service(settings, ["reconcile"]) as (_, port),
        plain_client(f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert "run `migrate upgrade`" in answer.json()["problem"]
        await schema.upgrade(PostgresLogin.at(empty_database))
        assert (await client.get("/readyz")).status_code == 200


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER ROLE {role} PASSWORD 'other'", "postgres_login_refused"),
        ("ALTER ROLE {role} NOLOGIN", "postgres_login_refused"),
        ("REVOKE USAGE ON SCHEMA evaluation_cancel FROM {role}", "postgres_rights_missing"),
        ("ALTER ROLE {role} SET default_transaction_read_only = on", "postgres_read_only"),
        ("DROP SCHEMA evaluation_cancel CASCADE", "run `migrate upgrade`"),
        ("ALTER ROLE {role} CONNECTION LIMIT 0", "too many connections"),
    ],
)
async def test_whatever_postgres_refuses_is_a_503_with_a_sentence(database: str, change: str, said: str) -> None:
    role = unique("reader").replace("-", "_")
    admin = await asyncpg.connect(database)
    await admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    await admin.execute(f"GRANT USAGE ON SCHEMA evaluation_cancel TO {role}")
    await admin.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA evaluation_cancel TO {role}")
    place = urlsplit(database)
    dsn = place._replace(netloc=f"{role}:secret@{place.hostname}:{place.port}").geturl()
    settings = ConsumerSettings(postgres_dsn=SecretStr(dsn), worker="w", http_host="127.0.0.1", http_port=0)
    async with (
        service(settings, []) as (_, port),
        plain_client(f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        await admin.execute(change.format(role=role))
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert said in answer.json()["problem"]
        assert "secret" not in answer.text
    await admin.execute(f"DROP OWNED BY {role}")
    await admin.execute(f"DROP ROLE {role}")
    await admin.close()
