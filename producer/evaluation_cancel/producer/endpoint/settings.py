"""Settings of the HTTP endpoint, prefix EVALUATION_CANCEL_ENDPOINT_. Kafka's are in `producer/settings.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from evaluation_cancel.producer.settings import ProducerSettings
from evaluation_cancel.schemas.postgres.address import parse_dsn
from evaluation_cancel.schemas.postgres.login import PostgresLogin

LOOPBACK_HOSTS: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class IssuerSettings(BaseModel):
    """One issuer whose tokens are accepted, and where its tokens say what we need to know."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    jwks_url: str | None = None
    """Where its key set is. https, unless the host is this machine. None: its discovery document says where."""
    jwks_file: Path | None = None
    """File with the key set instead."""
    jwks_ca_file: Path | None = None
    """PEM file of the authorities that sign the issuer's certificate. None: the usual ones."""
    jwks_bearer_file: Path | None = None
    """File with a token to send to the issuer for the keys, as an API server asks for; read for each fetch."""
    audience: tuple[str, ...] = ()
    """A token has to be meant for one of these."""
    no_audience: bool = False
    """Its tokens name no audience. Then any of its tokens is accepted that is meant for nobody else."""
    audience_claim: str = "aud"
    """Some issuers name the audience otherwise (`client_id` in Cognito's access tokens)."""
    user_claim: tuple[str, ...] = Field(default=("sub",), min_length=1)
    """The way to who asks: one name, or the names of objects within objects."""
    teams_claim: tuple[str, ...] = Field(default=("teams",), min_length=1)
    """The way to the teams: a list of strings, a string with spaces between, or an object whose keys are the teams."""
    team_roles: tuple[str, ...] = ()
    """Where teams are an object: only those whose `role` is one of these. Empty: any."""
    team_scope: str | None = None
    """Where teams are an object: only those whose `scopes` hold this one. None: any."""
    kind: Literal["user", "service"] = "user"
    """What its subjects are, for the record of who asked."""

    @field_validator("user_claim", "teams_claim", "audience", "team_roles", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("jwks_url")
    @classmethod
    def _cannot_be_tampered_with(cls, url: str | None) -> str | None:
        return None if url is None else cls.checked_address(url)

    @classmethod
    def checked_address(cls, url: str) -> str:
        """The address, or ValueError unless it is https or on this machine."""
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS):
            raise ValueError("must be an https:// address: without TLS the keys can be replaced on the way")
        return url

    @model_validator(mode="after")
    def _is_settled(self) -> Self:
        if self.jwks_url is not None and self.jwks_file is not None:
            raise ValueError("jwks_url and jwks_file are both set; one is enough")
        if bool(self.audience) == self.no_audience:
            raise ValueError("audience is needed, or no_audience: true for an issuer whose tokens name none; not both")
        for name in ("jwks_file", "jwks_ca_file", "jwks_bearer_file"):
            path = getattr(self, name)
            if path is not None and not path.is_file():
                raise ValueError(f"{name}: there is no file {path}")
        return self


class EndpointSettings(ProducerSettings):
    """Read once at start; every error is told together."""

    endpoint_host: str = "127.0.0.1"
    """Address to listen on. Behind a proxy that ends TLS, or in a pod, 0.0.0.0."""
    endpoint_port: int = Field(default=8080, ge=0, le=65535)
    """0 for any free one."""
    endpoint_source: str = Field(default="urn:evaluation-cancel:http", min_length=1, max_length=512)
    """CloudEvents source of the commands; the same for all replicas, or an idempotency key means another command."""
    endpoint_postgres_dsn: SecretStr = SecretStr("postgresql://127.0.0.1:5432/postgres")
    """postgresql:// address with a login of the role evaluation_cancel_reader, which can read two views and nothing."""
    endpoint_postgres_dsn_file: Path | None = None
    """File with the DSN instead, read for each new connection, so that it may change at any time."""
    endpoint_postgres_password_file: Path | None = None
    """File with the password, read for each new connection. It takes the place of the one in the DSN."""
    endpoint_postgres_password_command: tuple[str, ...] = ()
    """JSON list: a program and its arguments that print the password. It is run for new connections, at most every
    5 s, and may take 10 s."""
    endpoint_postgres_startup_parameters: bool = True
    """false behind a pooler that refuses startup parameters: time limits are then set in each transaction."""
    endpoint_postgres_pool_size: int = Field(default=5, ge=2, le=100)
    """Connections at most. One serves all who wait for an outcome, the others the status pages."""
    endpoint_postgres_timeout: float = Field(default=3.0, gt=0, le=30)
    """Seconds for one query. Who waits goes on waiting; a status page says 503."""
    endpoint_postgres_statement_cache_size: int = Field(default=100, ge=0)
    """Prepared statements a connection. 0 behind PgBouncer in transaction mode."""

    endpoint_issuers: dict[str, IssuerSettings] = Field(min_length=1)
    """JSON: `iss` of a token, exactly as the token has it, to its key set and claims."""
    endpoint_leeway: float = Field(default=30.0, ge=0, le=60)
    """Seconds that the issuer's clock may differ from ours."""
    endpoint_keys_lifetime: float = Field(default=300.0, ge=1, le=86400)
    """Seconds until a key set is fetched anew: how long a withdrawn key stays good."""
    endpoint_keys_grace: float = Field(default=3600.0, ge=0, le=86400)
    """Seconds beyond that for which old keys stay good while the issuer cannot be reached."""
    endpoint_keys_cooldown: float = Field(default=5.0, ge=0, le=300)
    """Seconds between two fetches for unknown key ids: strangers must not make us a nuisance to the issuer."""
    endpoint_keys_timeout: float = Field(default=5.0, gt=0, le=30)
    """Seconds for a fetch of keys, and the longest time that a request waits for them."""

    endpoint_publish_timeout: float = Field(default=10.0, gt=0, le=60)
    """Seconds until Kafka must have acknowledged; then 503, outcome unknown."""
    endpoint_default_wait: float = Field(default=25.0, ge=0, le=55)
    """Seconds to wait for the end of a cancellation. Below the usual 30 s of clients and proxies."""
    endpoint_longest_wait: float = Field(default=55.0, ge=0, le=55)
    """Seconds that `Prefer: wait` can ask for. Below the 60 s of most load balancers."""
    endpoint_slow_answer: Literal[200, 202] = 202
    """Status of `{"status":"cancelling"}`. 200 for clients made from a contract that knows no 202."""
    endpoint_shortest_poll: float = Field(default=0.025, ge=0.01, le=1)
    """Seconds between two queries of Postgres while a request waits. Slow queries make it longer."""
    endpoint_longest_poll: float = Field(default=0.1, ge=0.01, le=5)

    endpoint_waits: int = Field(default=2000, ge=1, le=100_000)
    """Requests that may wait at one time. The next is published and answered 202 at once."""
    endpoint_waits_per_caller: int = Field(default=500, ge=1, le=100_000)
    """The same for one subject of a token."""
    endpoint_requests_per_second: float = Field(default=50.0, gt=0, le=100_000)
    """Of one subject, in the long run; then 429. Each replica counts for itself."""
    endpoint_burst: int = Field(default=200, ge=1, le=100_000)
    """Requests that a subject can make at once after a quiet time."""
    endpoint_connections: int = Field(default=5000, ge=10, le=100_000)
    """Open connections; the next gets 503."""
    endpoint_body_bytes: int = Field(default=16_384, ge=1024, le=1_048_576)
    """The longest reason is 1024 characters, which JSON can spell in 12 KiB."""
    endpoint_header_bytes: int = Field(default=65_536, ge=1024, le=65_536)
    """All headers together, the token among them: one with a thousand teams has 55 KB."""
    endpoint_client_timeout: float = Field(default=10.0, gt=0, le=300)
    """Seconds that a client may take to send its headers, and again its body."""
    endpoint_stop_timeout: float = Field(default=20.0, ge=0, le=300)
    """Seconds for those who wait when told to stop; below the pod's termination grace."""
    endpoint_log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("endpoint_issuers")
    @classmethod
    def _can_be_discovered(cls, issuers: dict[str, IssuerSettings]) -> dict[str, IssuerSettings]:
        for name, issuer in issuers.items():
            if issuer.jwks_url is None and issuer.jwks_file is None:
                try:
                    IssuerSettings.checked_address(name)
                except ValueError as error:
                    raise ValueError(f"{name}: without jwks_url and jwks_file, the issuer {error}") from None
        return issuers

    @field_validator("endpoint_slow_answer", mode="before")
    @classmethod
    def _is_a_number(cls, value: object) -> object:
        """The environment holds text, and a literal takes none for a number."""
        return int(value) if isinstance(value, str) and value.isdecimal() else value

    @field_validator("endpoint_postgres_dsn")
    @classmethod
    def _is_an_address(cls, dsn: SecretStr) -> SecretStr:
        parse_dsn(dsn.get_secret_value())
        return dsn

    @model_validator(mode="after")
    def _login_is_there(self) -> Self:
        if self.endpoint_postgres_dsn_file is not None and "endpoint_postgres_dsn" in self.model_fields_set:
            raise ValueError("endpoint_postgres_dsn and endpoint_postgres_dsn_file are both set; one is enough")
        self.postgres_login().check()
        return self

    def postgres_login(self) -> PostgresLogin:
        """Where connections get their address and password. Make one for each pool."""
        return PostgresLogin(
            dsn=self.endpoint_postgres_dsn,
            dsn_file=self.endpoint_postgres_dsn_file,
            password_file=self.endpoint_postgres_password_file,
            password_command=self.endpoint_postgres_password_command,
        )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.endpoint_default_wait > self.endpoint_longest_wait:
            raise ValueError("endpoint_default_wait is longer than endpoint_longest_wait")
        if self.endpoint_shortest_poll > self.endpoint_longest_poll:
            raise ValueError("endpoint_shortest_poll is longer than endpoint_longest_poll")
        return self
