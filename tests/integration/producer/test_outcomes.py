"""Following the outcomes on a real client and broker."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from evaluation_cancel.producer.errors import KafkaUnreachable
from evaluation_cancel.producer.outcomes import OutcomeFollower
from evaluation_cancel.producer.publisher import Publisher
from evaluation_cancel.producer.tracking import Outcome
from evaluation_cancel.schemas.commands import CancelEvaluation, RequestedBy
from evaluation_cancel.schemas.envelope import Envelope
from tests.support.producer.responder import answers, publish, responder

PATIENCE = 60.0
ADA = RequestedBy(kind="user", id="ada", team_ids=("team-7",))


def isolation(environment: Any) -> str:
    return "read_uncommitted" if environment.kafka.kind == "memory" else "read_committed"


def follower(environment: Any, topics: Any) -> OutcomeFollower:
    client = {"bootstrap_servers": environment.kafka.bootstrap_servers}
    return OutcomeFollower(client=client, topics=topics, isolation_level=isolation(environment))


async def outcome_of(following: OutcomeFollower, sender: Publisher, evaluation: UUID) -> Outcome:
    followed = following.follow(source="/tests", command_id=str(evaluation), evaluation_id=evaluation)
    receipt = await sender.cancel(evaluation, ADA, command_id=str(evaluation))
    following.published(followed, (receipt.topic, receipt.partition, receipt.offset))
    async with asyncio.timeout(PATIENCE):
        return await followed.outcome


async def test_each_command_learns_its_own_outcome(environment: Any, topics: Any) -> None:
    address = environment.kafka.bootstrap_servers
    wishes = {uuid4(): wish for wish in ("cancelled", "failed", "not_found", "already_cancelled", "dead_letter")}
    client = {"bootstrap_servers": address}
    async with (
        follower(environment, topics) as following,
        Publisher(client=client, source="/tests", topics=topics) as sender,
        responder(address, topics, wishes),
    ):
        outcomes = await asyncio.gather(*(outcome_of(following, sender, evaluation) for evaluation in wishes))
    assert [(outcome.kind, outcome.code) for outcome in outcomes] == [
        ("cancelled", None),
        ("failed", "rbac_denied"),
        ("rejected", "not_found"),
        ("rejected", "already_cancelled"),
        ("dead_letter", "id_reused"),
    ]


async def test_only_what_comes_after_the_start_is_seen_and_all_of_it(environment: Any, topics: Any) -> None:
    evaluation = uuid4()
    command = CancelEvaluation(evaluation_id=evaluation, requested_by=ADA)

    async def reject(producer: AIOKafkaProducer, command_id: str) -> None:
        envelope = Envelope(id=command_id, source="/tests", type="")
        await publish(producer, topics, ("/tests", command_id), answers("not_found", envelope, command))

    async with AIOKafkaProducer(bootstrap_servers=environment.kafka.bootstrap_servers) as producer:
        await reject(producer, "early")
        async with follower(environment, topics) as following:
            # Published at once after the start: nothing has been fetched yet.
            await reject(producer, "late")
            early, late = (
                following.follow(source="/tests", command_id=name, evaluation_id=evaluation)
                for name in ("early", "late")
            )
            async with asyncio.timeout(PATIENCE):
                await late.outcome
            assert not early.outcome.done()


async def test_events_that_cannot_be_read_are_passed_over(environment: Any, topics: Any) -> None:
    evaluation = uuid4()
    command = CancelEvaluation(evaluation_id=evaluation, requested_by=ADA)
    key = str(evaluation).encode()
    async with (
        AIOKafkaProducer(bootstrap_servers=environment.kafka.bootstrap_servers) as producer,
        follower(environment, topics) as following,
    ):
        followed = following.follow(source="/tests", command_id="mine", evaluation_id=evaluation)
        await producer.send_and_wait(topics.events, b"not an event", key=key)
        await producer.send_and_wait(topics.dead_letters, b"x", key=key, headers=[("dlq_offset", b"none")])
        envelope = Envelope(id="mine", source="/tests", type="")
        await publish(producer, topics, ("/tests", "mine"), answers("cancelled", envelope, command))
        async with asyncio.timeout(PATIENCE):
            assert (await followed.outcome).achieved


class _Flaky(OutcomeFollower):
    """Loses its connection after each batch."""

    losses = 0

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        for partition, records in (await consumer.getmany(timeout_ms=200)).items():
            for record in records:
                self.seen.append(record.value)
            self._next[partition] = records[-1].offset + 1
        self.losses += 1
        raise KafkaError("lost")

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.seen: list[bytes] = []


async def test_a_lost_connection_is_made_anew_where_reading_stopped(environment: Any, topics: Any) -> None:
    client = {"bootstrap_servers": environment.kafka.bootstrap_servers}
    async with AIOKafkaProducer(**client) as producer:
        await producer.send_and_wait(topics.events, b"before", partition=0)
        async with _Flaky(client=client, topics=topics, isolation_level=isolation(environment)) as following:
            for number in range(3):
                await producer.send_and_wait(topics.events, b"%d" % number, partition=0)
                async with asyncio.timeout(PATIENCE):
                    while len(following.seen) <= number:  # noqa: ASYNC110 - the reader is not ours to signal from
                        await asyncio.sleep(0.02)
            assert following.seen == [b"0", b"1", b"2"]
            assert following.losses >= 2


async def test_without_a_broker_the_start_ends_within_its_time() -> None:
    following = OutcomeFollower(client={"bootstrap_servers": "127.0.0.1:1"}, connect_timeout=1.2)
    with pytest.raises(KafkaUnreachable):
        await following.start()
    await following.stop()


async def test_stopping_is_bounded_while_the_broker_is_away(broker: Any) -> None:
    following = OutcomeFollower(
        client={"bootstrap_servers": broker.address},
        topics=broker.topics,
        isolation_level="read_uncommitted",
        stop_timeout=1,
    )
    await following.start()
    broker.process.pause()
    async with asyncio.timeout(PATIENCE):
        await following.stop()
