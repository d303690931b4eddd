import ssl
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from evaluation_cancel.producer.endpoint.settings import EndpointSettings
from evaluation_cancel.producer.settings import ProducerSettings

PREFIX = "EVALUATION_CANCEL_"


def set_all(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(PREFIX + name.upper(), value)


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, kafka_bootstrap_servers="kafka:9092", topic_prefix="dev.", publish_timeout="2.5")
    settings = ProducerSettings()
    assert settings.kafka_client() == {"bootstrap_servers": "kafka:9092", "security_protocol": "PLAINTEXT"}
    assert settings.topics.commands == "dev.evaluations.cancel.commands.v1"
    assert settings.publish_timeout == 2.5


def test_all_errors_are_told_together(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, publish_timeout="soon", stop_timeout="-1", topic_prefix="a b")
    with pytest.raises(ValidationError) as caught:
        ProducerSettings()
    assert {error["loc"][0] for error in caught.value.errors()} == {"publish_timeout", "stop_timeout", "topic_prefix"}


def test_sasl_over_tls_is_passed_on_and_its_password_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(
        monkeypatch,
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_username="api",
        kafka_sasl_password="hunter2",
    )
    settings = ProducerSettings()
    client = settings.kafka_client()
    assert (client["sasl_mechanism"], client["sasl_plain_username"]) == ("SCRAM-SHA-512", "api")
    assert client["sasl_plain_password"] == "hunter2"
    assert client["ssl_context"].verify_mode is ssl.CERT_REQUIRED
    assert "hunter2" not in repr(settings)


def test_sasl_without_a_password_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, kafka_security_protocol="SASL_PLAINTEXT", kafka_sasl_username="api")
    with pytest.raises(ValidationError, match="needs kafka_sasl_username, and kafka_sasl_password or its file"):
        ProducerSettings()


def test_a_password_in_a_file_is_read_for_each_client(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("one\n")
    settings = ProducerSettings(
        kafka_security_protocol="SASL_PLAINTEXT", kafka_sasl_username="api", kafka_sasl_password_file=path
    )
    assert settings.kafka_client()["sasl_plain_password"] == "one"
    path.write_text("two")
    assert settings.kafka_client()["sasl_plain_password"] == "two"


def test_a_password_file_that_is_not_there_or_one_too_many_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="kafka_sasl_password_file cannot be read"):
        ProducerSettings(kafka_sasl_password_file=tmp_path / "nothing")
    with pytest.raises(ValidationError, match="both set"):
        ProducerSettings(kafka_sasl_password_file=tmp_path / "nothing", kafka_sasl_password=SecretStr("x"))


def test_a_key_without_its_certificate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="needs kafka_ssl_certificate_file"):
        ProducerSettings(kafka_ssl_key_file=tmp_path / "key.pem")


@pytest.mark.parametrize("servers", ["kafka:9092", "kafka", "a:1,b:2", "[::1]:9092", "10.0.0.1:9092, 10.0.0.2:9092"])
def test_brokers_are_addresses(servers: str) -> None:
    assert ProducerSettings(kafka_bootstrap_servers=servers).kafka_bootstrap_servers == servers


@pytest.mark.parametrize(
    "servers", [":::", "kafka:port", "kafka:0", "kafka:99999", "a:1,", "a b:1", "http://a:1", "[::1"]
)
def test_what_is_no_address_of_a_broker_is_told_at_the_start(servers: str) -> None:
    with pytest.raises(ValidationError, match="must be host:port"):
        ProducerSettings(kafka_bootstrap_servers=servers)


def test_a_dsn_that_is_none_is_told_at_the_start_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    issuers = '{"https://i.example": {"jwks_url": "https://i.example/jwks", "audience": "a"}}'
    set_all(monkeypatch, endpoint_issuers=issuers, endpoint_postgres_dsn="host=db password=hunter2")
    with pytest.raises(ValidationError, match="must begin with postgresql://") as caught:
        EndpointSettings()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("status", ["200", "202"])
def test_the_slow_answer_can_be_set_from_the_environment(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    issuers = '{"https://i.example": {"jwks_url": "https://i.example/jwks", "audience": "a"}}'
    set_all(monkeypatch, endpoint_issuers=issuers, endpoint_slow_answer=status)
    assert EndpointSettings().endpoint_slow_answer == int(status)
