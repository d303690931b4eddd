"""A reader whose client has died without a word is made anew, and no command waits for a restart of the process."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from deploy.local.stand.stack import Stack
from evaluation_cancel.consumer.intake.loop import ReaderLostError
from evaluation_cancel.consumer.kafka.command_reader import KafkaCommandReader
from evaluation_cancel.consumer.kafka.liveness import ReaderLiveness
from evaluation_cancel.consumer.runtime.supervisor import Supervisor
from evaluation_cancel.schemas.topics import Topics
from tests.support.consumer.intake_env import IntakeEnv, bare
from tests.support.consumer.postgres_env import PostgresEnv
from tests.support.waiting import until


@pytest.fixture
async def intake_env(environment: Stack, topics: Topics, postgres_env: PostgresEnv) -> IntakeEnv:
    return IntakeEnv(environment, topics, postgres_env)


def client_of(intake: Any) -> Any:
    assert isinstance(intake._reader, KafkaCommandReader)
    return client_of_reader(intake._reader)


def client_of_reader(reader: KafkaCommandReader) -> Any:
    return reader._client


async def assigned_reader(env: IntakeEnv) -> KafkaCommandReader:
    """A started reader that has partitions."""
    reader = env.intake()._reader
    assert isinstance(reader, KafkaCommandReader)
    await reader.start()

    async def has_partitions() -> bool:
        await reader.read()
        return bool(client_of_reader(reader).assignment()) and not reader._assignment.new

    await until(has_partitions, "partitions were assigned")
    return reader


async def die(task: asyncio.Task[Any]) -> None:
    """As after an error that the client does not expect."""
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("task", ["fetch", "metadata"])
async def test_a_client_whose_task_has_ended_is_made_anew(intake_env: IntakeEnv, task: str) -> None:
    first, second = [await intake_env.postgres_env.evaluation() for _ in range(2)]
    intake = intake_env.intake()
    restarted: list[str] = []
    supervisor = Supervisor([("intake", intake)], on_restarted=restarted.append)
    supervisor.start()
    await intake_env.send(bare(first))
    await until(lambda: intake_env.counts == {"accepted": 1}, "the first was accepted")
    client = client_of(intake)
    await die(client._fetcher._fetch_task if task == "fetch" else client._client._sync_task)
    await intake_env.send(bare(second))
    await until(lambda: intake_env.counts == {"accepted": 2}, "the second too", within=60)
    assert restarted == ["intake"]
    assert client_of(intake) is not client
    await supervisor.stop(10)


async def test_an_error_of_the_event_loop_makes_the_client_anew(
    intake_env: IntakeEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = intake_env.intake()._reader
    assert isinstance(reader, KafkaCommandReader)
    await reader.start()

    async def closed(**_: Any) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    monkeypatch.setattr(reader._client, "getmany", closed)
    with pytest.raises(ReaderLostError, match="handler is closed"):
        await reader.read()
    await reader.stop()


async def test_an_empty_topic_is_no_sign_of_death(intake_env: IntakeEnv) -> None:
    now = [0.0]
    reader = await assigned_reader(intake_env)
    client: Any = reader._client
    liveness = ReaderLiveness(client, clock=lambda: now[0])
    for _ in range(4):
        before = max(client.last_poll_timestamp(each) or 0 for each in client.assignment())
        await until(
            lambda before=before: max(client.last_poll_timestamp(each) or 0 for each in client.assignment()) > before,
            "a fetch was answered",
        )
        now[0] += 29
        assert liveness.problem(has_read=False) is None
    await reader.stop()


async def test_silence_for_half_a_minute_is_one(intake_env: IntakeEnv) -> None:
    now = [0.0]
    reader = await assigned_reader(intake_env)
    client: Any = reader._client
    liveness = ReaderLiveness(client, clock=lambda: now[0])
    newest = {each: client.last_poll_timestamp(each) for each in client.assignment()}
    client.last_poll_timestamp = newest.get  # no answer comes any more
    assert liveness.problem(has_read=False) is None
    now[0] = 29
    assert liveness.problem(has_read=False) is None
    now[0] = 31
    assert liveness.problem(has_read=False) == "no broker has answered a fetch for 31 s"
    assert liveness.problem(has_read=True) is None
    await reader.stop()
