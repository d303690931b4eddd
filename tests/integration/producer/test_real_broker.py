"""What only a real broker shows: it is killed under load, and it refuses those who may not write."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from deploy.local.kafka.broker import ensure_topics
from deploy.local.kafka.real import RealKafka, kafka_real
from deploy.local.processes.process import workspace
from evaluation_cancel.producer.errors import KafkaUnreachable, PublishRefused, PublishUnknown
from evaluation_cancel.producer.outcomes import OutcomeFollower
from evaluation_cancel.producer.publisher import Publisher, Receipt
from evaluation_cancel.producer.settings import ProducerSettings
from evaluation_cancel.schemas.commands import CancelEvaluation, RequestedBy
from evaluation_cancel.schemas.envelope import Envelope
from evaluation_cancel.schemas.topics import Topics
from evaluation_cancel.schemas.wire.codec import RawRecord, decode_command
from tests.support.environment import unique
from tests.support.producer.responder import answers, publish

pytestmark = [
    pytest.mark.real,
    # A connection that aiokafka was making when the broker was killed is left to the garbage collector.
    pytest.mark.filterwarnings("ignore:.*AIOKafkaConnection:pytest.PytestUnraisableExceptionWarning"),
]

PATIENCE = 100.0
ADA = RequestedBy(kind="user", id="ada", team_ids=("team-7",))
PASSWORD = "correct-horse"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required"


@pytest.fixture(scope="module")
async def kafka() -> AsyncIterator[RealKafka]:
    async with workspace() as work, kafka_real(work) as started:
        yield started


@pytest.fixture
async def fresh(kafka: RealKafka) -> Topics:
    topics = Topics(f"{unique('t')}-")
    await ensure_topics(kafka, topics.specs())
    return topics


async def kept_ids(address: str, receipts: list[Receipt]) -> set[str]:
    """The ids of all commands up to the last receipt of each partition."""
    ends: dict[TopicPartition, int] = {}
    for receipt in receipts:
        partition = TopicPartition(receipt.topic, receipt.partition)
        ends[partition] = max(ends.get(partition, 0), receipt.offset + 1)
    found = set()
    async with AIOKafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest") as consumer:
        consumer.assign(list(ends))
        async with asyncio.timeout(PATIENCE):
            while ends:
                for partition, records in (await consumer.getmany(timeout_ms=500)).items():
                    found.update(decode_command(RawRecord.of(record))[0].id for record in records)
                    if partition in ends and records[-1].offset + 1 >= ends[partition]:
                        del ends[partition]
    return found


async def test_a_broker_killed_under_load_costs_no_command(kafka: RealKafka, fresh: Topics) -> None:
    client = {"bootstrap_servers": kafka.bootstrap_servers}
    receipts: list[Receipt] = []

    async def insist(sender: Publisher) -> None:
        """As a service would: the same id until it is acknowledged."""
        command_id: str | None = None
        evaluation = uuid4()
        while True:
            try:
                receipts.append(await sender.cancel(evaluation, ADA, command_id=command_id))
            except PublishUnknown as unknown:
                command_id = unknown.command_id
            else:
                return

    async def one_after_the_other(sender: Publisher) -> None:
        for _ in range(40):
            await insist(sender)

    async with (
        asyncio.timeout(PATIENCE),
        Publisher(client=client, source="/tests", topics=fresh, publish_timeout=3, stop_timeout=2) as sender,
        asyncio.TaskGroup() as tasks,
    ):
        for _ in range(10):
            tasks.create_task(one_after_the_other(sender))
        while len(receipts) < 50:  # noqa: ASYNC110 - the tasks are under way, nothing signals it
            await asyncio.sleep(0.01)
        kafka.kill()
        await asyncio.sleep(4)  # longer than the time to publish, so that some end as unknown
        await kafka.start()
    assert len(receipts) == 400
    assert {receipt.command_id for receipt in receipts} <= await kept_ids(kafka.bootstrap_servers, receipts)


async def test_a_follower_goes_on_after_the_broker_was_killed(kafka: RealKafka, fresh: Topics) -> None:
    client = {"bootstrap_servers": kafka.bootstrap_servers}
    evaluation = uuid4()
    command = CancelEvaluation(evaluation_id=evaluation, requested_by=ADA)
    async with OutcomeFollower(client=client, topics=fresh, stop_timeout=2) as following:
        followed = following.follow(source="/tests", command_id="mine", evaluation_id=evaluation)
        kafka.kill()
        await kafka.start()
        async with Publisher(client=client, source="/tests", topics=fresh) as sender:
            await sender.cancel(evaluation, ADA)
            producer = sender._producer
            assert producer is not None
            envelope = Envelope(id="mine", source="/tests", type="")
            await publish(producer, fresh, ("/tests", "mine"), answers("cancelled", envelope, command))
            async with asyncio.timeout(PATIENCE):
                assert (await followed.outcome).achieved


@pytest.fixture(scope="module")
async def guarded() -> AsyncIterator[RealKafka]:
    """Asks for a password, and lets `writer` write commands; `stranger` may write elsewhere, `nobody` nowhere."""
    settings = {
        "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
        "listener.name.client.scram-sha-512.sasl.jaas.config": f'{SCRAM} username="admin" password="{PASSWORD}";',
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:admin;User:ANONYMOUS",
        "allow.everyone.if.no.acl.found": "false",
    }
    users = [f"SCRAM-SHA-512=[name={name},password={PASSWORD}]" for name in ("admin", "writer", "stranger", "nobody")]
    arguments = [part for user in users for part in ("--add-scram", user)]
    async with workspace() as work, kafka_real(work, settings=settings, format_arguments=arguments) as started:
        await asyncio.to_thread(let_write, started.bootstrap_servers)
        yield started


def let_write(address: str) -> None:
    admin = AdminClient(
        {
            "bootstrap.servers": address,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "admin",
            "sasl.password": PASSWORD,
        }
    )
    for topic, user in ((Topics().commands, "writer"), ("elsewhere", "stranger")):
        admin.create_topics([NewTopic(topic, num_partitions=3, replication_factor=1)])[topic].result(60)
        rule = AclBinding(
            ResourceType.TOPIC,
            topic,
            ResourcePatternType.LITERAL,
            f"User:{user}",
            "*",
            AclOperation.WRITE,
            AclPermissionType.ALLOW,
        )
        admin.create_acls([rule])[rule].result(60)


def sender_of(
    kafka: RealKafka, user: str, password: str = PASSWORD, mechanism: Any = "SCRAM-SHA-512", **more: Any
) -> Publisher:
    client = settings_of(kafka, user, password, mechanism).kafka_client()
    return Publisher(client=client, source="/tests", **more)


def settings_of(
    kafka: RealKafka, user: str, password: str = PASSWORD, mechanism: Any = "SCRAM-SHA-512"
) -> ProducerSettings:
    return ProducerSettings(
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_sasl_mechanism=mechanism,
        kafka_sasl_username=user,
        kafka_sasl_password=password,  # type: ignore[arg-type]  # pydantic makes the secret
    )


async def test_whoever_may_write_commands_needs_no_other_right(guarded: RealKafka) -> None:
    async with sender_of(guarded, "writer", publish_timeout=PATIENCE) as sender:
        assert (await sender.cancel(uuid4(), ADA)).offset >= 0


@pytest.mark.parametrize("user", ["stranger", "nobody"])
async def test_whoever_may_not_write_is_refused_for_good(guarded: RealKafka, user: str) -> None:
    sender = sender_of(guarded, user, publish_timeout=PATIENCE)
    with pytest.raises(PublishRefused, match="AuthorizationFailed"):
        await sender.cancel(uuid4(), ADA)
    await sender.stop()


async def test_a_wrong_password_ends_the_start_and_is_told_as_that(guarded: RealKafka) -> None:
    with pytest.raises(KafkaUnreachable, match=r"(?i)authentication failed") as raised:
        await sender_of(guarded, "writer", "wrong-password", connect_timeout=3).start()
    assert "wrong-password" not in str(raised.value)


async def test_a_mechanism_that_the_broker_does_not_offer_is_told_as_that(guarded: RealKafka) -> None:
    with pytest.raises(KafkaUnreachable, match="UnsupportedSaslMechanism"):
        await sender_of(guarded, "writer", mechanism="SCRAM-SHA-256", connect_timeout=3).start()


async def test_whoever_may_not_read_events_is_told_so_before_anything_is_published(guarded: RealKafka) -> None:
    follower = OutcomeFollower(client=settings_of(guarded, "writer").kafka_client(), connect_timeout=100)
    with pytest.raises(KafkaUnreachable, match=r"may not read .*cancel.events.v1.* needs Read"):
        async with asyncio.timeout(10):
            await follower.start()
    await follower.stop()
