"""Tokens for Kafka are fetched as a client, used for most of their life, and refusals are told without the secret."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError
from pydantic import SecretStr, ValidationError

from deploy.local.services.issuer import HOUR, Issuer, issuer
from evaluation_cancel.producer.settings import ProducerSettings
from evaluation_cancel.schemas.kafka_tokens import ClientCredentials

SECRET = "secret-of-consumer"


@pytest.fixture
async def tokens() -> AsyncIterator[Issuer]:
    async with issuer() as started:
        yield started


def of(tokens: Issuer, secret: str = SECRET, now: list[float] | None = None) -> ClientCredentials:
    clock = now or [0.0]
    return ClientCredentials(
        url=f"{tokens.issuer}/token", client_id="consumer", client_secret=lambda: secret, clock=lambda: clock[0]
    )


async def test_one_token_serves_all_connections_for_most_of_its_life(tokens: Issuer) -> None:
    now = [100.0]
    provider = of(tokens, now=now)
    first = await asyncio.gather(*(provider.token() for _ in range(5)))
    now[0] += 0.79 * HOUR
    assert await provider.token() == first[0]
    assert tokens.tokens_given == 1
    now[0] += 0.02 * HOUR
    await provider.token()
    assert tokens.tokens_given == 2


async def test_a_refusal_has_the_words_of_the_issuer_and_not_the_secret(tokens: Issuer) -> None:
    with pytest.raises(KafkaConnectionError, match=r"answers 401: .*invalid_client") as raised:
        await of(tokens, "wrong-secret").token()
    assert "wrong-secret" not in str(raised.value)


async def test_an_issuer_that_is_away_is_told_as_that(tokens: Issuer) -> None:
    await tokens.stop()
    with pytest.raises(KafkaConnectionError, match="gives no token: URLError"):
        await of(tokens).token()


def settings(**changes: object) -> ProducerSettings:
    given = {
        "kafka_security_protocol": "SASL_SSL",
        "kafka_sasl_mechanism": "OAUTHBEARER",
        "kafka_oauth_token_url": "https://issuer.example/token",
        "kafka_oauth_client_id": "consumer",
        "kafka_oauth_client_secret": SecretStr("x"),
    }
    return ProducerSettings.model_validate(given | changes)


def test_oauthbearer_needs_no_user_name() -> None:
    assert "sasl_plain_username" not in settings().kafka_client()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kafka_oauth_token_url": None}, "needs kafka_oauth_token_url"),
        ({"kafka_oauth_token_url": "http://issuer.example/token"}, "an https:// address"),
        ({"kafka_oauth_client_id": None}, "needs kafka_oauth_client_id"),
        ({"kafka_oauth_client_secret": None}, "kafka_oauth_client_secret or its file"),
        ({"kafka_oauth_client_secret_file": Path("/no/such/file")}, "kafka_oauth_client_secret_file cannot be read"),
    ],
)
def test_what_oauthbearer_lacks_is_named(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        settings(**changes)
