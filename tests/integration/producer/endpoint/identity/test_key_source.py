"""Keys come from where the settings say: an address, the discovery document, a file, behind a private authority."""

import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from deploy.local.processes.ports import free_port
from deploy.local.services.issuer import issuer
from evaluation_cancel.producer.endpoint.identity.jwks import KeySet, KeysUnavailable
from evaluation_cancel.producer.endpoint.identity.key_source import KeySource, client_for
from evaluation_cancel.producer.endpoint.settings import IssuerSettings
from tests.support.consumer.certificates import Authority
from tests.support.producer.verifier import TIMES, Verifier


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as opened:
        yield opened


async def test_keys_come_from_the_discovery_document_of_the_issuer_alone(client: httpx.AsyncClient) -> None:
    async with issuer() as tokens:
        discovered = Verifier(tokens, client, jwks_url=None)
        assert await discovered.believed(tokens.token("ada"))
        tokens.issuer = "https://another.example"
        with pytest.raises(KeysUnavailable):
            await Verifier(tokens, client, jwks_url=None).believed(tokens.token("ada"))


async def test_keys_come_from_a_file_that_may_change(client: httpx.AsyncClient, tmp_path: Path) -> None:
    async with issuer() as tokens:
        file = tmp_path / "keys.json"
        file.write_text(json.dumps({"keys": [tokens.keys[-1].public]}))
        verified = Verifier(tokens, client, jwks_url=None, jwks_file=file)
        assert await verified.believed(tokens.token("ada"))
        tokens.rotate()
        file.write_text(json.dumps({"keys": [tokens.keys[-1].public]}))
        verified.clock.now += TIMES.lifetime
        assert await verified.believed(tokens.token("ada"))
        assert tokens.requests == 0


async def test_a_key_set_behind_a_private_authority_and_a_token_is_read(tmp_path: Path) -> None:
    authority = Authority()
    pair, bearer, ca = authority.issue("issuer"), tmp_path / "bearer", tmp_path / "ca.pem"
    for path, content in (
        (tmp_path / "crt", pair.certificate),
        (tmp_path / "key", pair.key),
        (ca, authority.certificate),
    ):
        path.write_bytes(content)
    bearer.write_text("let-me-in\n")
    asked: list[str | None] = []
    async with issuer() as tokens:

        async def keys(request: web.Request) -> web.Response:
            asked.append(request.headers.get("authorization"))
            return web.json_response({"keys": [tokens.keys[-1].public]})

        served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        served.load_cert_chain(tmp_path / "crt", tmp_path / "key")
        app = web.Application()
        app.router.add_get("/keys", keys)
        runner = web.AppRunner(app)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=served).start()
        url = f"https://127.0.0.1:{port}/keys"
        trusted = IssuerSettings(jwks_url=url, jwks_ca_file=ca, jwks_bearer_file=bearer, audience=("any",))
        try:
            async with client_for(tokens.issuer, trusted) as client:
                source = KeySource(name=tokens.issuer, settings=trusted, client=client)
                assert await KeySet(source, TIMES).key(tokens.keys[-1].id)
            plain = trusted.model_copy(update={"jwks_ca_file": None})
            async with client_for(tokens.issuer, plain) as client:
                with pytest.raises(KeysUnavailable):
                    await KeySet(KeySource(name="urn:x", settings=plain, client=client), TIMES).key("any")
        finally:
            await runner.cleanup()
    assert asked == ["Bearer let-me-in"]
