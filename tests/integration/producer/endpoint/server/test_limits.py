"""What is too large, too slow, too often or too much at once; and that none of it is felt by others."""

import asyncio
import resource
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import psutil
import pytest

from deploy.local.processes.plain_http import plain_client
from deploy.local.processes.ports import free_port
from deploy.local.stand.endpoint import endpoint, reader_dsn, start_endpoint
from tests.support.producer.service import TEAM, Service
from tests.support.producer.sockets import Connection, connection, head
from tests.support.waiting import until

PATH = "/v1/evaluations/{}/cancel"


@pytest.fixture(scope="module")
async def strict(served: Service) -> AsyncIterator[str]:
    """The URL of an endpoint with narrow limits."""
    settings = {
        "ENDPOINT_CLIENT_TIMEOUT": "3",  # seconds; a busy machine may take one for a well-behaved client
        "ENDPOINT_REQUESTS_PER_SECOND": "0.1",
        "ENDPOINT_BURST": "3",
        "ENDPOINT_WAITS_PER_CALLER": "2",
    }
    async with endpoint(
        served.stack, served.dsn, served.kafka, served.tokens, name="endpoint-strict", settings=settings
    ) as started:
        yield started.url


def bearer(served: Service, user: str = "ada") -> str:
    return f"Bearer {served.tokens.token(user, [TEAM])}"


async def test_a_declared_body_that_is_too_large_is_413_before_it_is_sent(served: Service) -> None:
    async with connection(served.url) as client:
        path = PATH.format(uuid.uuid4())
        await client.send(head("POST", path, authorization=bearer(served), content_length="1000000"))
        assert await client.status() == 413


async def test_a_body_that_grows_too_large_is_413(served: Service) -> None:
    async def grow() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 1024

    async with served.client() as client:
        answer = await client.post(
            PATH.format(uuid.uuid4()), content=grow(), headers={"content-type": "application/json"}
        )
    assert answer.status_code == 413


async def test_headers_that_are_too_large_are_431(served: Service) -> None:
    async with served.client() as client:
        answer = await client.post(PATH.format(uuid.uuid4()), headers={"x-padding": "x" * 66_000})
        assert answer.status_code == 431
        many = {f"x-{number}": "x" * 40 for number in range(1600)}
        assert (await client.post(PATH.format(uuid.uuid4()), headers=many)).status_code == 431


async def test_who_still_sends_headers_when_they_are_refused_gets_the_answer_all_the_same(served: Service) -> None:
    async with connection(served.url) as client:
        await client.send(b"GET /healthz HTTP/1.1\r\nx-padding: " + b"x" * 140_000)
        assert await client.status() == 400
        for _ in range(16):
            await client.send(b"x" * 65_536)
        client.writer.write_eof()
        assert b'{"detail":"Invalid HTTP request received."}' in await client.rest()


async def test_headers_that_do_not_come_cost_the_connection(served: Service, strict: str) -> None:
    async with connection(strict) as silent, connection(strict) as slow:
        await slow.send(b"POST / HTTP/1.1\r\nhost: te")
        assert await silent.rest() == b""
        assert await slow.rest() == b""


async def test_the_second_request_of_a_connection_has_no_more_time_than_the_first(strict: str) -> None:
    async with connection(strict) as client:
        await client.send(head("GET", "/healthz"))
        assert await client.status() == 200
        await client.send(b"GET /healthz HTTP/1.1\r\nhost: te")
        rest = await client.rest()
    assert rest.count(b"HTTP/1.1") == 0


@pytest.mark.parametrize(
    ("length", "begun"),
    [({"content_length": "20"}, b'{"reason":'), ({"transfer_encoding": "chunked"}, b"2\r\n{ \r\n")],
    ids=["of a length", "chunked"],
)
async def test_a_body_that_does_not_come_is_408(
    served: Service, strict: str, length: dict[str, str], begun: bytes
) -> None:
    evaluation = await served.evaluation()
    async with connection(strict) as client:
        caller = bearer(served, f"slow-{next(iter(length))}")
        headers = {"authorization": caller, "content_type": "application/json", **length}
        await client.send(head("POST", PATH.format(evaluation), **headers) + begun)
        assert await client.status() == 408
    assert await served.count("commands", evaluation) == 0


async def test_many_files_may_be_open_whatever_the_usual_limit_is(served: Service) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    reader = await reader_dsn(served.dsn)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        started = start_endpoint(
            served.stack, reader, served.kafka, served.tokens, name="endpoint-files", port=free_port()
        )
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        await started.child.ready(started.is_ready)
        allowed, _ = psutil.Process(started.child._process.pid).rlimit(psutil.RLIMIT_NOFILE)
        assert allowed > min(5000, hard - 1)
    finally:
        await started.child.stop()


async def test_a_caller_who_asks_too_often_is_429_and_the_next_caller_is_not(served: Service, strict: str) -> None:
    async with served.client("often", url=strict) as often, served.client("seldom", url=strict) as seldom:
        page = f"/v1/evaluations/{uuid.uuid4()}/cancellation"
        answers = [await often.get(page) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [404, 404, 404, 429]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 10
        assert (await seldom.get(page)).status_code == 404


async def test_who_waits_too_often_at_once_is_answered_at_once_and_nothing_is_lost(
    served: Service, strict: str
) -> None:
    evaluations = [await served.slow_evaluation() for _ in range(3)]
    async with served.client("waiter", url=strict) as client:
        waits = [
            asyncio.create_task(client.post(PATH.format(each), headers={"prefer": "wait=55"}))
            for each in evaluations[:2]
        ]
        for each in evaluations[:2]:
            await served.opened(each)
        third = await client.post(PATH.format(evaluations[2]), headers={"prefer": "wait=55"})
        assert third.status_code == 202
        assert not any(wait.done() for wait in waits)
        for each in evaluations:
            await served.opened(each)
            await served.end(each)
        assert [answer.status_code for answer in await asyncio.gather(*waits)] == [200, 200]


async def test_a_thousand_open_waits_do_not_hold_up_others(served: Service) -> None:
    slow, quick = await served.slow_evaluation(), await served.evaluation()
    async with AsyncExitStack() as clients:
        opened = []
        for number in range(1000):
            client = await clients.enter_async_context(connection(served.url))
            headers = {"authorization": bearer(served, f"user-{number % 10}"), "prefer": "wait=55"}
            await client.send(head("POST", PATH.format(slow), **headers))
            opened.append(client)
        await until(lambda: _waits(served, 1000))
        # One that is decided after the end is rightly told that it has ended already.
        await until(lambda: _all_decided(served, slow, 1000))
        async with served.client() as other:
            answer = await other.post(PATH.format(quick), headers={"prefer": "wait=50"})
            assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
            assert (await other.get(f"/v1/evaluations/{slow}/cancellation")).json()["status"] == "cancelling"
        await served.end(slow)
        statuses = await asyncio.gather(*(client.status() for client in opened))
    assert set(statuses) == {200}


async def _all_decided(served: Service, evaluation: uuid.UUID, count: int) -> bool:
    query = "SELECT count(decision) FROM evaluation_cancel.commands WHERE evaluation_id = $1"
    decided: int = await served.database.fetchval(query, evaluation)
    return decided == count


async def test_slow_clients_do_not_hold_up_others(served: Service) -> None:
    async with AsyncExitStack() as clients:
        for number in range(100):
            client = await clients.enter_async_context(connection(served.url))
            begun = head("POST", PATH.format(uuid.uuid4()), authorization=bearer(served), content_length="20")
            await client.send(begun + b"{" if number % 2 else begun[:30])
        async with served.client() as other:
            answer = await other.post(PATH.format(await served.evaluation()), headers={"prefer": "wait=50"})
        assert answer.status_code == 200


async def _is_cut_off(client: Connection) -> bool:
    try:
        await client.send(b"x")
    except ConnectionError:
        return True
    return False


async def _waits(served: Service, wanted: int) -> bool:
    async with plain_client(served.url, timeout=60) as client:
        metrics = (await client.get("/metrics")).text
    return f"evaluation_cancel_http_waits {float(wanted)}" in metrics


async def test_who_goes_on_sending_after_the_answer_is_cut_off(strict: str) -> None:
    async with connection(strict) as client:
        await client.send(head("POST", PATH.format(uuid.uuid4()), content_length="1000000"))
        assert await client.status() == 413
        await until(lambda: _is_cut_off(client))


async def test_what_is_no_http_is_400(served: Service) -> None:
    async with connection(served.url) as client:
        await client.send(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
        assert await client.status() == 400


@pytest.mark.parametrize(
    "smuggled",
    [
        {"content_length": "5", "transfer_encoding": "chunked"},
        {"transfer_encoding": "gzip, chunked"},
        {"content_length": "-1"},
        {"content_length": "1, 2"},
    ],
)
async def test_a_request_of_two_minds_about_its_length_is_refused(served: Service, smuggled: dict[str, str]) -> None:
    evaluation = await served.evaluation()
    async with connection(served.url) as client:
        await client.send(
            head("POST", PATH.format(evaluation), authorization=bearer(served), **smuggled) + b"0\r\n\r\n"
        )
        assert 400 <= await client.status() < 502
