from __future__ import annotations

import pytest

from evaluation_cancel.consumer.settings import ConsumerSettings
from evaluation_cancel.schemas.settings.loading import load_settings
from evaluation_cancel.schemas.settings.shown import shown_settings


def test_the_defaults_are_usable() -> None:
    settings = load_settings(ConsumerSettings)
    assert settings.topics.commands == "evaluations.cancel.commands.v1"
    assert settings.clusters == {}


def test_every_error_is_printed_with_its_variable_and_without_its_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVALUATION_CANCEL_INTAKE_BATCH", "s3cret")
    monkeypatch.setenv("EVALUATION_CANCEL_HTTP_PORT", "-1")
    monkeypatch.setenv("EVALUATION_CANCEL_CLUSTERS", '{"a": {"unknown": "s3cret"}}')
    with pytest.raises(SystemExit) as end:
        load_settings(ConsumerSettings)
    printed = capsys.readouterr().err
    assert end.value.code == 2
    for name in ("INTAKE_BATCH", "HTTP_PORT", "CLUSTERS.A.UNKNOWN"):
        assert f"EVALUATION_CANCEL_{name}" in printed
    assert "s3cret" not in printed


def test_a_list_that_is_not_json_is_printed_like_any_other_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVALUATION_CANCEL_CLUSTERS", "s3cret")
    with pytest.raises(SystemExit) as end:
        load_settings(ConsumerSettings)
    printed = capsys.readouterr().err
    assert end.value.code == 2
    assert "clusters" in printed.lower()
    assert "s3cret" not in printed


def test_the_representation_of_settings_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALUATION_CANCEL_POSTGRES_DSN", "postgresql://user:s3cret@host/db")
    monkeypatch.setenv("EVALUATION_CANCEL_KAFKA_SASL_PASSWORD", "s3cret")
    settings = load_settings(ConsumerSettings)
    assert "s3cret" not in repr(settings)
    assert settings.postgres_dsn.get_secret_value().endswith("@host/db")


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        load_settings(ConsumerSettings)
    assert end.value.code == 2
    return capsys.readouterr().err


def test_text_that_is_no_json_is_told_with_all_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("CLUSTERS", "EVERY_TEAM_SOURCES", "EVALUATIONS_TABLE"):
        monkeypatch.setenv(f"EVALUATION_CANCEL_{name}", "{'s3cret': 1}")
    monkeypatch.setenv("EVALUATION_CANCEL_HTTP_PORT", "x")
    printed = refusal(capsys)
    for name in ("CLUSTERS", "EVERY_TEAM_SOURCES", "EVALUATIONS_TABLE"):
        assert f"EVALUATION_CANCEL_{name}: is not valid JSON" in printed
    assert "EVALUATION_CANCEL_HTTP_PORT" in printed
    assert "s3cret" not in printed


def test_a_variable_that_is_no_setting_is_refused_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVALUATION_CANCEL_KAFKA_BOOTSTRAP_SERVER", "s3cret")
    monkeypatch.setenv("EVALUATION_CANCEL_QQQQ", "s3cret")
    printed = refusal(capsys)
    assert "EVALUATION_CANCEL_KAFKA_BOOTSTRAP_SERVER: there is no such setting; is " in printed
    assert "is EVALUATION_CANCEL_KAFKA_BOOTSTRAP_SERVERS meant?" in printed
    assert "EVALUATION_CANCEL_QQQQ: there is no such setting\n" in printed
    assert "s3cret" not in printed


@pytest.mark.parametrize(
    "variable",
    [
        "EVALUATION_CANCEL_ENDPOINT_BURST",
        "EVALUATION_CANCEL_AUDIT_BUCKET",
        "EVALUATION_CANCEL_TOKEN",
        "EVALUATION_CANCEL_SERVICE_HOST",
        "EVALUATION_CANCEL_PORT",
        "EVALUATION_CANCEL_PORT_8081_TCP_ADDR",
        "EVALUATION_CANCEL_METRICS_SERVICE_PORT_HTTP",
        "OTHER_SERVICE",
    ],
)
def test_settings_of_other_processes_and_what_kubernetes_adds_are_no_mistakes(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "tcp://10.0.0.1:80")
    load_settings(ConsumerSettings)


@pytest.mark.parametrize("name", ["SSL_CA", "SSL_CERTIFICATE", "SSL_KEY", "SSL_KEY_PASSWORD"])
def test_a_file_of_kafka_that_is_not_there_is_told_at_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setenv(f"EVALUATION_CANCEL_KAFKA_{name}_FILE", "/nowhere/it.pem")
    monkeypatch.setenv(
        "EVALUATION_CANCEL_KAFKA_SSL_CERTIFICATE_FILE", __file__ if "CERT" not in name else "/nowhere/it.pem"
    )
    assert f"kafka_{name.lower()}_file: there is no file /nowhere/it.pem" in refusal(capsys)


def test_settings_are_shown_with_their_origin_and_secrets_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALUATION_CANCEL_POSTGRES_DSN", "postgresql://user:s3cret@host/db")
    monkeypatch.setenv("EVALUATION_CANCEL_CLUSTERS", '{"eu\\u202e": {"context": "a"}}')
    lines = list(shown_settings(load_settings(ConsumerSettings)))
    assert 'EVALUATION_CANCEL_POSTGRES_DSN="**********"  # environment' in lines
    assert "EVALUATION_CANCEL_HTTP_PORT=8081  # default" in lines
    assert any('CLUSTERS={"eu\\u202e"' in line and line.endswith("# environment") for line in lines)
    assert not any("s3cret" in line for line in lines)
