"""Client certificates and SASL PLAIN on a real broker: let in with the right one, told why without it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives import serialization

from deploy.local.kafka.real import kafka_real
from deploy.local.processes.process import workspace
from evaluation_cancel.producer.errors import KafkaUnreachable
from evaluation_cancel.producer.publisher import Publisher
from evaluation_cancel.producer.settings import ProducerSettings
from evaluation_cancel.schemas.commands import RequestedBy
from tests.support.consumer.certificates import Authority, Pair

pytestmark = pytest.mark.real

PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"
ADA = RequestedBy(kind="user", id="ada", team_ids=("team-7",))


@dataclass(frozen=True, kw_only=True, slots=True)
class Closed:
    """A broker that lets nobody in without a login, and the folder with files to log in with."""

    address: str
    folder: Path
    protocol: str

    async def publish(self, **changes: Any) -> None:
        """Send one command. Raises `KafkaUnreachable` when not let in."""
        given = {
            "kafka_bootstrap_servers": self.address,
            "kafka_security_protocol": self.protocol,
            "kafka_ssl_ca_file": self.folder / "ca.pem",
        }
        settings = ProducerSettings.model_validate(given | changes)
        async with Publisher(client=settings.kafka_client(), source="/tests", connect_timeout=5) as publisher:
            assert (await publisher.cancel(uuid4(), ADA)).offset >= 0


@asynccontextmanager
async def closed(folder: Path, protocol: str, settings: Mapping[str, str]) -> AsyncIterator[Closed]:
    authority = Authority()
    (folder / "ca.pem").write_bytes(authority.certificate)
    write(folder / "server.pem", authority.issue("broker"))
    write(folder / "client.pem", authority.issue("consumer"))
    write(folder / "stranger.pem", Authority().issue("consumer"))
    pair = authority.issue("consumer")
    (folder / "certificate.pem").write_bytes(pair.certificate)
    key = serialization.load_pem_private_key(pair.key, None)
    sealed = serialization.BestAvailableEncryption(b"open-sesame")
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(encoding, form, sealed))
    usual = {
        "auto.create.topics.enable": "true",
        "listener.security.protocol.map": f"CLIENT:{protocol},CONTROLLER:PLAINTEXT",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(folder / "server.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(folder / "ca.pem"),
    }
    async with workspace() as work, kafka_real(work, settings=usual | dict(settings)) as broker:
        yield Closed(address=broker.bootstrap_servers, folder=folder, protocol=protocol)


def write(path: Path, pair: Pair) -> None:
    path.write_bytes(pair.key + pair.certificate)


@pytest.fixture(scope="module")
async def by_certificate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Closed]:
    async with closed(tmp_path_factory.mktemp("mtls"), "SSL", {"ssl.client.auth": "required"}) as broker:
        yield broker


async def test_a_client_certificate_lets_in_whether_its_key_is_beside_it_or_sealed(by_certificate: Closed) -> None:
    folder = by_certificate.folder
    await by_certificate.publish(kafka_ssl_certificate_file=folder / "client.pem")
    (folder / "password").write_text("open-sesame\n")
    await by_certificate.publish(
        kafka_ssl_certificate_file=folder / "certificate.pem",
        kafka_ssl_key_file=folder / "key.pem",
        kafka_ssl_key_password_file=folder / "password",
    )


async def test_without_a_certificate_or_with_a_strangers_nobody_is_let_in(by_certificate: Closed) -> None:
    for changes in ({}, {"kafka_ssl_certificate_file": by_certificate.folder / "stranger.pem"}):
        with pytest.raises(KafkaUnreachable):
            await by_certificate.publish(**changes)


async def test_plain_passwords_over_tls_let_in_and_a_wrong_one_is_told_as_that(tmp_path: Path) -> None:
    users = 'username="admin" password="a" user_admin="a" user_consumer="open-sesame"'
    settings = {
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "listener.name.client.plain.sasl.jaas.config": f"{PLAIN} {users};",
    }
    login = {"kafka_sasl_mechanism": "PLAIN", "kafka_sasl_username": "consumer"}
    async with closed(tmp_path, "SASL_SSL", settings) as broker:
        await broker.publish(**login, kafka_sasl_password="open-sesame")
        with pytest.raises(KafkaUnreachable, match=r"(?i)authentication failed"):
            await broker.publish(**login, kafka_sasl_password="wrong")
