"""A replica that is told to stop: who waits gets an answer, who comes is sent elsewhere, and it ends by itself."""

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deploy.local.stand.endpoint import Endpoint, endpoint
from tests.support.environment import unique
from tests.support.producer.service import FAST, Service
from tests.support.producer.sockets import connection, head
from tests.support.waiting import until

PROMPT = {"prefer": "wait=55"}


@asynccontextmanager
async def replica(served: Service, stop_timeout: float) -> AsyncIterator[Endpoint]:
    settings = {**FAST, "ENDPOINT_STOP_TIMEOUT": str(stop_timeout)}
    async with endpoint(
        served.stack, served.dsn, served.kafka, served.tokens, name=unique("endpoint"), settings=settings
    ) as started:
        yield started


def tell(started: Endpoint) -> None:
    started.child._process.send_signal(signal.SIGTERM)


async def test_who_waits_is_answered_with_what_is_known_when_the_time_is_over(served: Service) -> None:
    evaluation = await served.slow_evaluation()
    async with replica(served, 2) as started, served.client(url=started.url) as client:
        waiting = asyncio.create_task(client.post(f"/v1/evaluations/{evaluation}/cancel", headers=PROMPT))
        await served.opened(evaluation)
        tell(started)
        answer = await waiting
        assert (answer.status_code, answer.json()["status"]) == (202, "cancelling")
        assert answer.headers["connection"] == "close"
        assert await started.child.wait(within=60) == 0
    await served.end(evaluation)


async def test_who_waits_still_learns_of_the_end_and_who_comes_is_sent_elsewhere(served: Service) -> None:
    evaluation = await served.slow_evaluation()
    async with replica(served, 60) as started, served.client(url=started.url) as client:
        async with connection(started.url) as kept:
            await kept.send(head("GET", "/healthz"))
            assert await kept.status() == 200
            waiting = asyncio.create_task(client.post(f"/v1/evaluations/{evaluation}/cancel", headers=PROMPT))
            await served.opened(evaluation)
            tell(started)
            await until(lambda: "Asked to stop" in started.child.log.read_text())
            async with connection(started.url) as late:
                await late.send(head("POST", f"/v1/evaluations/{uuid.uuid4()}/cancel"))
                said = await late.rest()
            assert said.startswith(b"HTTP/1.1 503")
            assert b"connection: close" in said
            assert b"retry-after: 1" in said.lower()
        async with connection(started.url) as probe:
            await probe.send(head("GET", "/readyz"))
            assert await probe.status() == 503
        assert not waiting.done()
        await served.end(evaluation)
        assert (await waiting).status_code == 200
        assert await started.child.wait(within=60) == 0


async def test_nothing_in_hand_it_ends_at_once(served: Service) -> None:
    async with replica(served, 60) as started:
        tell(started)
        assert await started.child.wait(within=30) == 0
    assert '"action": "stopped"' in started.child.log.read_text()
