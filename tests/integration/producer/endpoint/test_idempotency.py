"""One key, one command: whichever replica is asked, however often, in whatever order."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from deploy.local.stand.endpoint import endpoint
from tests.support.producer.service import FAST, Service
from tests.support.waiting import until

PROMPT = {"prefer": "wait=55"}


@pytest.fixture(scope="module")
async def replica(served: Service) -> AsyncIterator[str]:
    """The URL of a second endpoint, which shares nothing with the first but Kafka and Postgres."""
    async with endpoint(
        served.stack, served.dsn, served.kafka, served.tokens, name="endpoint-2", settings=FAST
    ) as started:
        yield started.url


def key() -> dict[str, str]:
    return {"idempotency-key": str(uuid.uuid4())}


async def test_a_retry_through_another_replica_is_the_same_command(served: Service, replica: str) -> None:
    evaluation = await served.evaluation()
    same = key()
    async with served.client() as one, served.client(url=replica) as two:
        answers = [
            await client.post(f"/v1/evaluations/{evaluation}/cancel", headers=same) for client in (one, two, one, two)
        ]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len({answer.content for answer in answers}) == 1
    assert await served.count("commands", evaluation) == 1
    assert await served.count("cancellations", evaluation) == 1


async def test_a_client_that_times_out_and_retries_sees_success(served: Service, replica: str) -> None:
    evaluation = await served.slow_evaluation()
    same = key()
    async with served.client() as one, served.client(url=replica) as two:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await one.post(f"/v1/evaluations/{evaluation}/cancel", headers=same)
        await served.opened(evaluation)
        await served.end(evaluation)
        answer = await two.post(f"/v1/evaluations/{evaluation}/cancel", headers=same)
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert await served.count("commands", evaluation) == 1


async def test_without_a_key_a_retry_while_it_stops_joins_and_sees_success(served: Service) -> None:
    evaluation = await served.slow_evaluation()
    async with served.client() as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await client.post(f"/v1/evaluations/{evaluation}/cancel")
    await served.opened(evaluation)
    async with served.client() as client:
        again = asyncio.create_task(client.post(f"/v1/evaluations/{evaluation}/cancel", headers=PROMPT))
        await until(
            lambda: served.database.fetchval(
                "SELECT count(*) = 2 FROM evaluation_cancel.commands WHERE evaluation_id = $1", evaluation
            )
        )
        await served.end(evaluation)
        assert (await again).status_code == 200
    assert await served.count("cancellations", evaluation) == 1


async def test_a_key_of_another_meaning_is_422_and_changes_nothing(served: Service, replica: str) -> None:
    first, second = await served.evaluation(), await served.evaluation()
    same = key()
    async with served.client() as one, served.client(url=replica) as two:
        assert (await one.post(f"/v1/evaluations/{first}/cancel", headers=same)).status_code == 200
        for url, body in ((second, None), (first, {"reason": "another"}), (first, {"cleanup_artifacts": True})):
            answer = await two.post(f"/v1/evaluations/{url}/cancel", headers=same, json=body)
            assert answer.status_code == 422
            assert answer.json()["detail"][0]["type"] == "idempotency_key_reused"
        assert (await one.post(f"/v1/evaluations/{first}/cancel", headers=same)).status_code == 200
    assert await served.count("commands", second) == 0


async def test_a_retry_with_a_renewed_token_means_the_same(served: Service) -> None:
    evaluation = await served.evaluation()
    same = key()
    async with served.client("ada", ("team-7",)) as before, served.client("ada", ("team-1", "team-7")) as after:
        for client in (before, after):
            assert (await client.post(f"/v1/evaluations/{evaluation}/cancel", headers=same)).status_code == 200
    assert await served.count("commands", evaluation) == 1


async def test_two_callers_may_choose_the_same_key(served: Service) -> None:
    mine, theirs = await served.evaluation(), await served.evaluation("team-2")
    same = key()
    async with served.client("ada") as ada, served.client("bob", ("team-2",)) as bob:
        assert (await ada.post(f"/v1/evaluations/{mine}/cancel", headers=same)).status_code == 200
        assert (await bob.post(f"/v1/evaluations/{theirs}/cancel", headers=same)).status_code == 200


async def test_the_key_of_a_failed_cancellation_stays_failed_and_a_new_one_starts_anew(served: Service) -> None:
    evaluation = await served.slow_evaluation()
    same = key()
    async with served.client() as client:
        waiting = asyncio.create_task(client.post(f"/v1/evaluations/{evaluation}/cancel", headers=PROMPT | same))
        await served.opened(evaluation)
        await served.end(evaluation, "failed")
        assert (await waiting).status_code == 500
        assert (await client.post(f"/v1/evaluations/{evaluation}/cancel", headers=same)).status_code == 500
        anew = asyncio.create_task(client.post(f"/v1/evaluations/{evaluation}/cancel", headers=PROMPT | key()))
        await until(
            lambda: served.database.fetchval(
                "SELECT count(*) = 2 FROM evaluation_cancel.cancellations WHERE evaluation_id = $1", evaluation
            )
        )
        await served.end(evaluation)
        assert (await anew).status_code == 200


async def test_without_a_key_every_request_is_a_command_of_its_own_and_none_is_swallowed(served: Service) -> None:
    """The key that is made up is never the same again, however alike two requests are."""
    evaluation = await served.slow_evaluation()
    async with served.client() as client:
        first = asyncio.create_task(client.post(f"/v1/evaluations/{evaluation}/cancel", headers=PROMPT))
        await served.opened(evaluation)
        await served.end(evaluation, "failed")
        assert (await first).status_code == 500
        second = asyncio.create_task(client.post(f"/v1/evaluations/{evaluation}/cancel", headers=PROMPT))
        await until(
            lambda: served.database.fetchval(
                "SELECT count(*) = 2 FROM evaluation_cancel.cancellations WHERE evaluation_id = $1", evaluation
            )
        )
        await served.end(evaluation)
        assert (await second).status_code == 200
    assert await served.count("commands", evaluation) == 2


async def test_a_hundred_retries_at_once_are_one_command(served: Service, replica: str) -> None:
    evaluation = await served.evaluation()
    same = key()
    async with served.client() as one, served.client(url=replica) as two:
        answers = await asyncio.gather(
            *((one, two)[n % 2].post(f"/v1/evaluations/{evaluation}/cancel", headers=PROMPT | same) for n in range(100))
        )
    assert {answer.status_code for answer in answers} == {200}
    assert await served.count("commands", evaluation) == 1


@pytest.mark.parametrize("bad", ["", "x" * 256, "é"])
async def test_a_key_that_is_none_is_422(served: Service, bad: str) -> None:
    async with served.client() as client:
        headers = [(b"idempotency-key", bad.encode("latin-1"))]
        answer = await client.post(f"/v1/evaluations/{uuid.uuid4()}/cancel", headers=headers)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][0] == "header"


async def test_two_keys_are_422(served: Service) -> None:
    async with served.client() as client:
        headers = [("idempotency-key", "one"), ("idempotency-key", "two")]
        assert (await client.post(f"/v1/evaluations/{uuid.uuid4()}/cancel", headers=headers)).status_code == 422


async def test_a_client_that_hangs_up_does_not_stop_its_cancellation(served: Service) -> None:
    evaluation = await served.slow_evaluation()
    client = served.client()
    request = asyncio.create_task(client.post(f"/v1/evaluations/{evaluation}/cancel"))
    await served.opened(evaluation)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    await client.aclose()
    await until(lambda: f'{evaluation}/cancel", "status": 499' in served.endpoint.child.log.read_text())
    assert await served.database.fetchval(
        "SELECT phase = 'accepted' FROM evaluation_cancel.cancellations WHERE evaluation_id = $1", evaluation
    )
    await served.end(evaluation)
