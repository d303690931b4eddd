"""What `/readyz` says of the database's schema."""

from __future__ import annotations

from pydantic import SecretStr

from deploy.local.processes.plain_http import plain_client
from evaluation_cancel.consumer.app import service
from evaluation_cancel.consumer.migrations import schema
from evaluation_cancel.consumer.settings import ConsumerSettings


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
        await schema.upgrade(empty_database)
        assert (await client.get("/readyz")).status_code == 200
