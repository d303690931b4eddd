"""With TLS, SCRAM and ACLs on a real broker, the rights of docs/rights.md are enough; each mistake is told as that."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from deploy.local.kafka.real import RealKafka, kafka_real
from deploy.local.processes.process import workspace
from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.kafka.command_reader import KafkaCommandReader
from evaluation_cancel.consumer.kafka.event_producer import KafkaEventProducer
from evaluation_cancel.consumer.outbox.ports import Record, Refused, Sent
from evaluation_cancel.producer.outcomes import OutcomeFollower
from evaluation_cancel.producer.publisher import Publisher
from evaluation_cancel.producer.settings import ProducerSettings
from evaluation_cancel.schemas.commands import RequestedBy
from evaluation_cancel.schemas.topics import Topics
from tests.support.consumer.certificates import Authority
from tests.support.waiting import until

pytestmark = pytest.mark.real

RIGHTS = (Path(__file__).parents[4] / "docs" / "rights.md").read_text()
PASSWORD = "correct-horse"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required"
PRINCIPALS = {
    "consumer": "consumer",
    "HTTP endpoint, services that cancel": "endpoint",
    "`cancel-producer cancel --wait`": "waiter",
}
ADA = RequestedBy(kind="user", id="ada", team_ids=("team-7",))


def granted() -> list[AclBinding]:
    """The table of the page, for the principals that this test plays."""
    table = RIGHTS[RIGHTS.index("## Kafka") : RIGHTS.index("A writer of the commands topic")]
    rules: list[AclBinding] = []
    for principal, resource, operations in re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", table, re.MULTILINE):
        user = PRINCIPALS.get(principal)
        if user == "waiter":  # "the same, and events and dead letters" | "Write; Read, Describe"
            rules += _rules(user, "topic", [Topics().commands], "Write, Describe")
            rules += _rules(user, "topic", [Topics().events, Topics().dead_letters], operations.partition(";")[2])
        elif user is not None:
            kind = "group" if resource.startswith("group") else "topic"
            rules += _rules(user, kind, re.findall(r"`([^`]+)`", resource), operations)
    return rules


def _rules(user: str, kind: str, names: list[str], operations: str) -> list[AclBinding]:
    resource = ResourceType.GROUP if kind == "group" else ResourceType.TOPIC
    return [
        AclBinding(
            *(resource, name, ResourcePatternType.LITERAL, f"User:{user}", "*"),
            *(AclOperation[operation.strip().upper()], AclPermissionType.ALLOW),
        )
        for name in names
        for operation in operations.split(",")
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Guarded:
    broker: RealKafka
    folder: Path

    def settings(self, user: str, *, authority: str = "ca.pem", **changes: Any) -> ProducerSettings:
        given = {
            "kafka_bootstrap_servers": self.broker.bootstrap_servers,
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_username": user,
            "kafka_sasl_password": PASSWORD,
            "kafka_ssl_ca_file": self.folder / authority,
        }
        return ProducerSettings.model_validate(given | changes)

    def reader(self, settings: ProducerSettings) -> KafkaCommandReader:
        async def nothing() -> dict[int, int]:
            return {}

        return KafkaCommandReader(
            topic=Topics().commands,
            group_id="evaluation-cancel",
            client_settings=settings.kafka_client,
            isolation_level="read_committed",
            batch=10,
            poll_ms=100,
            saved_offsets=nothing,
        )


@pytest.fixture(scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    folder, authority = tmp_path_factory.mktemp("tls"), Authority()
    server = authority.issue("broker")
    (folder / "ca.pem").write_bytes(authority.certificate)
    (folder / "other.pem").write_bytes(Authority().certificate)
    (folder / "server.pem").write_bytes(server.key + server.certificate)
    settings = {
        "listener.security.protocol.map": "CLIENT:SASL_SSL,CONTROLLER:PLAINTEXT",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(folder / "server.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(folder / "ca.pem"),
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
        "listener.name.client.scram-sha-512.sasl.jaas.config": f'{SCRAM} username="admin" password="{PASSWORD}";',
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:admin;User:ANONYMOUS",
    }
    users = [f"SCRAM-SHA-512=[name={name},password={PASSWORD}]" for name in ("admin", *PRINCIPALS.values())]
    arguments = [part for user in users for part in ("--add-scram", user)]
    async with workspace() as work, kafka_real(work, settings=settings, format_arguments=arguments) as broker:
        await asyncio.to_thread(prepare, broker.bootstrap_servers, folder / "ca.pem")
        yield Guarded(broker=broker, folder=folder)


def prepare(address: str, authority: Path) -> None:
    admin = AdminClient(
        {
            "bootstrap.servers": address,
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(authority),
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "admin",
            "sasl.password": PASSWORD,
        }
    )
    topics = [NewTopic(spec.name, num_partitions=2, replication_factor=1) for spec in Topics().specs()]
    for made in (*admin.create_topics(topics).values(), *admin.create_acls(granted()).values()):
        made.result(60)


async def test_the_rights_of_the_page_are_enough_for_a_command_and_its_event(guarded: Guarded) -> None:
    async with Publisher(client=guarded.settings("endpoint").kafka_client(), source="/tests") as publisher:
        receipt = await publisher.cancel(uuid4(), ADA)
    reader = guarded.reader(guarded.settings("consumer"))
    await reader.start()

    async def has_come() -> bool:
        records, offsets = await reader.read()
        if offsets:
            await reader.commit(offsets)
        return any((r.partition, r.offset) == (receipt.partition, receipt.offset) for r in records)

    await until(has_come, "the command was read")
    await reader.stop()
    producer = KafkaEventProducer(client_settings=guarded.settings("consumer").kafka_client, deadline=20)
    letters = [Record(topic, b"k", b"v", []) for topic in (Topics().events, Topics().dead_letters)]
    assert await producer.send(letters) == [Sent(), Sent()]
    [refused] = await producer.send([Record(Topics().commands, b"k", b"v", [])])
    assert isinstance(refused, Refused)
    await producer.close()


async def test_they_are_enough_to_wait_for_an_outcome(guarded: Guarded) -> None:
    client = guarded.settings("waiter").kafka_client()
    async with OutcomeFollower(client=client), Publisher(client=client, source="/tests") as publisher:
        assert (await publisher.cancel(uuid4(), ADA)).offset >= 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"authority": "other.pem"}, "(?i)certificate verify failed"),
        ({"kafka_sasl_password": "wrong-password"}, "(?i)authentication failed"),
        ({"kafka_bootstrap_servers": "localhost:{port}"}, "(?i)hostname|not valid for 'localhost'"),
        ({"kafka_sasl_mechanism": "SCRAM-SHA-256"}, "UnsupportedSaslMechanism"),
    ],
)
async def test_each_mistake_of_a_login_is_told_as_that(guarded: Guarded, changes: dict[str, Any], said: str) -> None:
    port = guarded.broker.bootstrap_servers.rpartition(":")[2]
    given = {name: value.format(port=port) for name, value in changes.items()}
    reader = guarded.reader(guarded.settings("consumer", **given))
    with pytest.raises(TemporaryError, match=said) as raised:
        await reader.start()
    assert "wrong-password" not in str(raised.value)


async def test_a_password_that_changes_in_its_file_is_used_by_the_next_client(guarded: Guarded) -> None:
    path = guarded.folder / "password"
    path.write_text("not yet")
    settings = guarded.settings("consumer", kafka_sasl_password=None, kafka_sasl_password_file=path)
    reader = guarded.reader(settings)
    with pytest.raises(TemporaryError):
        await reader.start()
    path.write_text(PASSWORD)
    await reader.start()
    await reader.stop()
