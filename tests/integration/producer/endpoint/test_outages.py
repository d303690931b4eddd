"""Kafka, Postgres or the issuer away: what is said is true, and a retry finds out; nothing twice, nothing lost."""

import dataclasses
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

from deploy.local.kafka.broker import Kafka
from deploy.local.kafka.memory import kafka_memory
from deploy.local.kafka.real import kafka_real
from deploy.local.processes.plain_http import plain_client
from deploy.local.processes.ports import LOOPBACK, free_port
from deploy.local.processes.process import Child, Workspace, workspace
from deploy.local.services.issuer import Issuer, issuer
from deploy.local.services.postgres import Postgres, postgres
from deploy.local.stand.endpoint import reader_dsn, start_endpoint
from deploy.local.stand.stack import Stack
from evaluation_cancel.consumer.migrations import schema
from evaluation_cancel.schemas.kafka_settings import KafkaSettings
from evaluation_cancel.schemas.postgres.login import PostgresLogin
from tests.support.producer.service import TEAM, Service, service
from tests.support.stacks import chosen_stack
from tests.support.waiting import until

PROMPT = {"prefer": "wait=55"}
SETTINGS = {"ENDPOINT_PUBLISH_TIMEOUT": "2", "ENDPOINT_POSTGRES_TIMEOUT": "1"}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Fragile:
    """A service of its own with a broker and a database that can be taken away."""

    service: Service
    broker: Child
    postgres: Postgres


@asynccontextmanager
async def broker_of(work: Workspace) -> AsyncIterator[tuple[Kafka, Child]]:
    if chosen_stack() == "real":
        async with kafka_real(work) as real:
            assert real.child is not None
            yield real, real.child
    else:
        async with kafka_memory(work) as memory:
            yield memory, next(child for child in work._children.values() if child.name == "kafka")


@pytest.fixture(scope="module")
async def fragile(environment: Stack, tokens: Issuer) -> AsyncIterator[Fragile]:
    async with AsyncExitStack() as parts:
        work = await parts.enter_async_context(workspace())
        server = await parts.enter_async_context(postgres(work))
        kafka, child = await parts.enter_async_context(broker_of(work))
        own = dataclasses.replace(environment, work=work, postgres=server, kafka=kafka)
        dsn = await server.create_database("fragile")
        await schema.upgrade(PostgresLogin.at(dsn))
        made = await parts.enter_async_context(service(own, dsn, "fragile-", tokens, settings=SETTINGS))
        yield Fragile(service=made, broker=child, postgres=server)


async def test_kafka_away_is_503_of_unknown_outcome_and_the_key_finds_out(fragile: Fragile) -> None:
    served = fragile.service
    evaluation, key = await served.evaluation(), str(uuid.uuid4())
    async with served.client() as client:
        fragile.broker.pause()
        try:
            answer = await client.post(f"/v1/evaluations/{evaluation}/cancel", headers={"idempotency-key": key})
        finally:
            fragile.broker.resume()
        assert answer.status_code == 503
        assert answer.json()["code"] == "publish_unknown"
        assert "not known" in answer.json()["detail"]
        assert answer.json()["idempotency_key"] == key
        assert int(answer.headers["retry-after"]) > 0
        again = await _until_published(client, evaluation, key)
    assert (again.status_code, again.json()["status"]) == (200, "cancelled")
    assert await served.count("commands", evaluation) == 1
    assert await served.count("cancellations", evaluation) == 1


async def test_a_retry_learns_of_its_command_even_while_kafka_is_away(fragile: Fragile) -> None:
    served, key = fragile.service, {"idempotency-key": str(uuid.uuid4())}
    evaluation = await served.evaluation()
    async with served.client() as client:
        assert (await client.post(f"/v1/evaluations/{evaluation}/cancel", headers=PROMPT | key)).status_code == 200
        fragile.broker.pause()
        try:
            again = await client.post(f"/v1/evaluations/{evaluation}/cancel", headers=key)
        finally:
            fragile.broker.resume()
    assert (again.status_code, again.json()["status"]) == (200, "cancelled")


async def test_who_gave_no_key_is_given_one_that_finds_out(fragile: Fragile) -> None:
    served = fragile.service
    evaluation = await served.evaluation()
    async with served.client() as client:
        fragile.broker.pause()
        try:
            answer = await client.post(f"/v1/evaluations/{evaluation}/cancel")
        finally:
            fragile.broker.resume()
        assert answer.status_code == 503
        again = await _until_published(client, evaluation, answer.json()["idempotency_key"])
    assert again.status_code == 200
    assert await served.count("commands", evaluation) == 1


@pytest.mark.parametrize("stopped", [False, True], ids=["stalled", "stopped"])
async def test_postgres_away_the_command_is_published_all_the_same(fragile: Fragile, stopped: bool) -> None:
    served, key = fragile.service, {"idempotency-key": str(uuid.uuid4())}
    evaluation = await served.evaluation()
    async with served.client() as client:
        if stopped:
            await fragile.postgres.stop()
        else:
            fragile.postgres.pause()
        try:
            answer = await client.post(f"/v1/evaluations/{evaluation}/cancel", headers={"prefer": "wait=2"} | key)
            assert (answer.status_code, answer.json()["status"]) == (202, "submitted")
            for page in (answer.headers["location"], f"/v1/evaluations/{evaluation}/cancellation"):
                status = await client.get(page)
                assert status.status_code == 503
                assert status.headers["retry-after"]
            assert (await client.get("/healthz")).status_code == 200
            assert (await client.get("/readyz")).status_code == 200
        finally:
            if stopped:
                await fragile.postgres.start()
            else:
                fragile.postgres.resume()
        # Nothing is sent again: the command of before is carried out.
        await until(lambda: _is_cancelled(client, answer.headers["location"]))
        again = await client.post(f"/v1/evaluations/{evaluation}/cancel", headers=PROMPT | key)
    assert again.status_code == 200


async def test_without_kafka_it_lives_is_not_ready_and_says_503_in_time(served: Service) -> None:
    nobody = KafkaSettings(kafka_bootstrap_servers=f"{LOOPBACK}:{free_port()}")
    started = start_endpoint(
        served.stack,
        await reader_dsn(served.dsn),
        nobody,
        served.tokens,
        name="endpoint-alone",
        port=free_port(),
        settings={"ENDPOINT_PUBLISH_TIMEOUT": "1"},
    )
    try:
        async with served.client(url=started.url) as client:
            await until(lambda: _lives(client))
            ready = await client.get("/readyz")
            assert (ready.status_code, ready.json()["kafka"]) == (503, "not reached yet")
            answer = await client.post(f"/v1/evaluations/{uuid.uuid4()}/cancel")
            assert (answer.status_code, answer.json()["code"]) == (503, "publish_unknown")
    finally:
        await started.child.stop()


@pytest.mark.parametrize("wrong", ["password", "database"])
async def test_a_postgres_that_refuses_us_keeps_a_replica_from_being_ready(served: Service, wrong: str) -> None:
    dsn = await reader_dsn(served.dsn)
    user, host = dsn.partition("@")[0].rpartition(":")[0], dsn.partition("@")[2]
    refused = f"{user}:wrong@{host}" if wrong == "password" else dsn.rpartition("/")[0] + "/nothing"
    started = start_endpoint(
        served.stack, refused, served.kafka, served.tokens, name="endpoint-refused", port=free_port()
    )
    try:
        async with served.client(url=started.url) as client:
            await until(lambda: _lives(client))
            await until(lambda: _says(client, "refuses us"))
            assert (await client.get("/readyz")).status_code == 503
    finally:
        await started.child.stop()


async def test_without_the_issuers_keys_it_is_503_and_not_401(served: Service) -> None:
    async with issuer() as away:
        started = start_endpoint(
            served.stack,
            await reader_dsn(served.dsn),
            served.kafka,
            away,
            name="endpoint-keyless",
            port=free_port(),
            settings={"ENDPOINT_KEYS_COOLDOWN": "0"},
        )
        try:
            await away.stop()
            headers = {"authorization": f"Bearer {away.token('ada', [TEAM])}"}
            async with plain_client(started.url, headers=headers, timeout=60) as client:
                await until(lambda: _lives(client))
                answer = await client.post(f"/v1/evaluations/{uuid.uuid4()}/cancel")
                assert (answer.status_code, answer.json()["code"]) == (503, "keys_unavailable")
                assert answer.headers["retry-after"]
                await away.start()
                assert (await client.get(f"/v1/evaluations/{uuid.uuid4()}/cancellation")).status_code == 404
        finally:
            await started.child.stop()


async def _until_published(client: httpx.AsyncClient, evaluation: uuid.UUID, key: str) -> httpx.Response:
    """As a caller would: again with the same key while it is 503, or nothing is decided yet."""
    answers: list[httpx.Response] = []

    async def asked() -> bool:
        headers = {**PROMPT, "idempotency-key": key}
        answers.append(await client.post(f"/v1/evaluations/{evaluation}/cancel", headers=headers))
        return answers[-1].status_code not in (202, 503)

    await until(asked)
    return answers[-1]


async def _is_cancelled(client: httpx.AsyncClient, page: str) -> bool:
    answer = await client.get(page)
    return answer.status_code == 200 and answer.json()["status"] == "cancelled"


async def _lives(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/healthz")).status_code == 200
    except httpx.TransportError:
        return False


async def _says(client: httpx.AsyncClient, state: str) -> bool:
    said: bool = (await client.get("/readyz")).json()["postgres"] == state
    return said
