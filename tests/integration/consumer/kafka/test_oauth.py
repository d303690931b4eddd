"""A real broker that checks tokens of an issuer lets the service in, and tells why it does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from pydantic import SecretStr

from deploy.local.kafka.real import RealKafka, kafka_real
from deploy.local.processes.process import workspace
from deploy.local.services.issuer import AUDIENCE, Issuer, issuer
from evaluation_cancel.consumer.kafka.event_producer import KafkaEventProducer
from evaluation_cancel.consumer.outbox.ports import Record, Sent, Unresolved
from evaluation_cancel.producer.settings import ProducerSettings

pytestmark = pytest.mark.real

PASSWORD = "correct-horse"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required"
BEARER = "org.apache.kafka.common.security.oauthbearer"
LISTENER = "listener.name.client.oauthbearer."


@dataclass(frozen=True, kw_only=True, slots=True)
class Guarded:
    broker: RealKafka
    tokens: Issuer

    def settings(self, secret: str) -> ProducerSettings:
        return ProducerSettings(
            kafka_bootstrap_servers=self.broker.bootstrap_servers,
            kafka_security_protocol="SASL_PLAINTEXT",
            kafka_sasl_mechanism="OAUTHBEARER",
            kafka_oauth_token_url=f"{self.tokens.issuer}/token",
            kafka_oauth_client_id="consumer",
            kafka_oauth_client_secret=SecretStr(secret),
        )


@pytest.fixture(scope="module")
async def guarded() -> AsyncIterator[Guarded]:
    async with issuer() as tokens, workspace() as work:
        settings = {
            "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512,OAUTHBEARER",
            "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
            "listener.name.client.scram-sha-512.sasl.jaas.config": f'{SCRAM} username="admin" password="{PASSWORD}";',
            f"{LISTENER}sasl.jaas.config": f"{BEARER}.OAuthBearerLoginModule required;",
            f"{LISTENER}sasl.server.callback.handler.class": f"{BEARER}.OAuthBearerValidatorCallbackHandler",
            f"{LISTENER}sasl.oauthbearer.jwks.endpoint.url": tokens.jwks_url,
            f"{LISTENER}sasl.oauthbearer.expected.audience": AUDIENCE,
            f"{LISTENER}sasl.oauthbearer.expected.issuer": tokens.issuer,
            "auto.create.topics.enable": "true",
        }
        users = ("--add-scram", f"SCRAM-SHA-512=[name=admin,password={PASSWORD}]")
        allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={tokens.jwks_url}"
        async with kafka_real(work, settings=settings, format_arguments=users, jvm=(allowed,)) as broker:
            yield Guarded(broker=broker, tokens=tokens)


async def sent(settings: ProducerSettings) -> object:
    producer = KafkaEventProducer(client_settings=settings.kafka_client, deadline=20)
    try:
        [result] = await producer.send([Record("events", b"k", b"v", [])])
        return result
    finally:
        await producer.close()


async def test_a_client_with_a_token_of_the_issuer_is_let_in(guarded: Guarded) -> None:
    assert await sent(guarded.settings("secret-of-consumer")) == Sent()


async def test_a_wrong_secret_is_told_with_the_words_of_the_issuer(guarded: Guarded) -> None:
    result = await sent(guarded.settings("wrong"))
    assert isinstance(result, Unresolved)
    assert "invalid_client" in result.detail
