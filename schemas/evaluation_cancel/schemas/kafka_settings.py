"""The Kafka settings of every process. `settings/loading.py` loads any settings.

Other settings are in `consumer/settings.py`, `consumer/audit/cli/settings.py`, `producer/settings.py` and
`producer/endpoint/settings.py`.
"""

from pathlib import Path
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit

from aiokafka.conn import collect_hosts
from aiokafka.helpers import create_ssl_context
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from evaluation_cancel.schemas.kafka_tokens import ClientCredentials
from evaluation_cancel.schemas.settings.environment import ENVIRONMENT_PREFIX, EnvironmentSource
from evaluation_cancel.schemas.topics import Topics

_LAST_PORT: Final = 65535
_LOOPBACK_HOSTS: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class KafkaSettings(BaseSettings):
    """Read from the environment. Arguments of the constructor take precedence."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,  # it may be a password
    )

    kafka_bootstrap_servers: str = Field(default="127.0.0.1:9092", min_length=1)
    """host:port of one or more brokers, separated by commas."""

    topic_prefix: str = Field(default="", pattern=r"^[A-Za-z0-9._-]{0,100}$")
    """Prefix of each topic name, so that several systems can share a broker."""

    kafka_isolation_level: Literal["read_committed", "read_uncommitted"] = "read_committed"
    """read_committed: readers skip records of aborted transactions. The in-memory broker needs read_uncommitted."""

    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """Encryption and authentication of the connection."""

    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = "SCRAM-SHA-512"
    """SASL mechanism: of a user name and password, or OAUTHBEARER with OpenID Connect's client credentials."""

    kafka_sasl_username: str | None = None
    """User name, required with SASL."""
    kafka_sasl_password: SecretStr | None = None
    """Password, required with SASL."""
    kafka_sasl_password_file: Path | None = None
    """File with the password instead, read for each new client, as the certificates' files are."""

    kafka_oauth_token_url: str | None = None
    """Token endpoint of the issuer, required with OAUTHBEARER. https, unless it is on this machine."""
    kafka_oauth_client_id: str | None = None
    """Client id, required with OAUTHBEARER."""
    kafka_oauth_client_secret: SecretStr | None = None
    """Client secret, or kafka_oauth_client_secret_file."""
    kafka_oauth_client_secret_file: Path | None = None
    """File with the client secret, read for each token."""
    kafka_oauth_scope: str | None = None
    """Scopes to ask for, with spaces between. None: what the issuer gives by itself."""

    kafka_ssl_ca_file: Path | None = None
    """PEM file of the authorities that sign the brokers' certificates. None: the system's authorities."""

    kafka_ssl_certificate_file: Path | None = None
    """PEM file of the client certificate, if the brokers demand one."""

    kafka_ssl_key_file: Path | None = None
    """PEM file of the client certificate's private key. None: the key is in the certificate's file."""
    kafka_ssl_key_password: SecretStr | None = None
    """Password of the private key, if it has one."""
    kafka_ssl_key_password_file: Path | None = None
    """File with that password instead, read for each new client."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # pydantic passes all by name
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment."""
        return init_settings, EnvironmentSource(settings_cls)

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _are_addresses(cls, servers: str) -> str:
        """Parse as aiokafka does. aiokafka itself complains only when it connects, or never."""
        try:
            addresses = collect_hosts(servers, randomize=False)
        except ValueError:
            addresses = [("", 0, None)]
        if any(not host or set(host) & {" ", "/"} or not 0 < port <= _LAST_PORT for host, port, _ in addresses):
            raise ValueError("must be host:port, or several with commas between")
        return servers

    @model_validator(mode="after")
    def _complete(self) -> Self:
        self._check_login()
        if self.kafka_ssl_key_file is not None and self.kafka_ssl_certificate_file is None:
            raise ValueError("kafka_ssl_key_file needs kafka_ssl_certificate_file beside it")
        self._check_files()
        return self

    def _check_files(self) -> None:
        for name in ("ssl_ca", "ssl_certificate", "ssl_key", "ssl_key_password"):
            path = getattr(self, f"kafka_{name}_file")
            if path is not None and not path.is_file():
                raise ValueError(f"kafka_{name}_file: there is no file {path}")
        if self.kafka_ssl_key_password is not None and self.kafka_ssl_key_password_file is not None:
            raise ValueError("kafka_ssl_key_password and kafka_ssl_key_password_file are both set; one is enough")

    def _check_login(self) -> None:
        sasl = self.kafka_security_protocol.startswith("SASL")
        if self.kafka_sasl_mechanism == "OAUTHBEARER":
            if sasl:
                self._check_oauth()
            return
        if self.kafka_sasl_password is not None and self.kafka_sasl_password_file is not None:
            raise ValueError("kafka_sasl_password and kafka_sasl_password_file are both set; one is enough")
        try:
            password = self._sasl_password()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"kafka_sasl_password_file cannot be read: {error}") from None
        if sasl and (self.kafka_sasl_username is None or not password):
            raise ValueError(
                f"{self.kafka_security_protocol} needs kafka_sasl_username, and kafka_sasl_password or its file"
            )

    def _check_oauth(self) -> None:
        url = urlsplit(self.kafka_oauth_token_url or "")
        if url.scheme != "https" and not (url.scheme == "http" and url.hostname in _LOOPBACK_HOSTS):
            raise ValueError("OAUTHBEARER needs kafka_oauth_token_url, an https:// address")
        try:
            secret = self._oauth_secret()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"kafka_oauth_client_secret_file cannot be read: {error}") from None
        if not self.kafka_oauth_client_id or not secret:
            raise ValueError("OAUTHBEARER needs kafka_oauth_client_id, and kafka_oauth_client_secret or its file")

    @property
    def topics(self) -> Topics:
        """The names of the three topics, with the prefix."""
        return Topics(prefix=self.topic_prefix)

    def kafka_client(self) -> dict[str, Any]:
        """Arguments for the constructor of any aiokafka client. Reads the certificate files; raises `OSError`."""
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.kafka_bootstrap_servers,
            "security_protocol": self.kafka_security_protocol,
        }
        if self.kafka_security_protocol.endswith("SSL"):
            arguments["ssl_context"] = create_ssl_context(
                cafile=self.kafka_ssl_ca_file,
                certfile=self.kafka_ssl_certificate_file,
                keyfile=self.kafka_ssl_key_file,
                password=self._key_password(),
            )
        if not self.kafka_security_protocol.startswith("SASL"):
            return arguments
        arguments["sasl_mechanism"] = self.kafka_sasl_mechanism
        if self.kafka_sasl_mechanism == "OAUTHBEARER":
            arguments["sasl_oauth_token_provider"] = self._tokens()
        else:
            arguments["sasl_plain_username"] = self.kafka_sasl_username
            arguments["sasl_plain_password"] = self._sasl_password()
        return arguments

    def _tokens(self) -> ClientCredentials:
        return ClientCredentials(
            url=self.kafka_oauth_token_url or "",
            client_id=self.kafka_oauth_client_id or "",
            client_secret=self._oauth_secret,
            scope=self.kafka_oauth_scope,
        )

    def _oauth_secret(self) -> str:
        if self.kafka_oauth_client_secret_file is None:
            return _revealed(self.kafka_oauth_client_secret) or ""
        return self.kafka_oauth_client_secret_file.read_text().strip()

    def _key_password(self) -> str | None:
        if self.kafka_ssl_key_password_file is None:
            return _revealed(self.kafka_ssl_key_password)
        return self.kafka_ssl_key_password_file.read_text().strip()

    def _sasl_password(self) -> str | None:
        if self.kafka_sasl_password_file is None:
            return _revealed(self.kafka_sasl_password)
        return self.kafka_sasl_password_file.read_text().strip()


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
