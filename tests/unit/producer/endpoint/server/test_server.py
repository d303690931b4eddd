"""How uvicorn is set up, where a test over sockets would have to wait for more than a minute."""

from pydantic import SecretStr

from evaluation_cancel.producer.app import application
from evaluation_cancel.producer.endpoint.server.run import _config
from evaluation_cancel.producer.endpoint.settings import EndpointSettings, IssuerSettings


def test_an_idle_connection_is_kept_longer_than_proxies_keep_theirs() -> None:
    issuer = IssuerSettings(jwks_url="https://issuer.example/jwks", audience=("us",))
    settings = EndpointSettings(
        endpoint_issuers={"https://issuer.example": issuer}, endpoint_postgres_dsn=SecretStr("postgresql://db/x")
    )
    assert _config(application(), settings).timeout_keep_alive > 60
