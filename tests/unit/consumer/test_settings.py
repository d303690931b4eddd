from __future__ import annotations

import pytest

from evaluation_cancel.consumer.settings import ConsumerSettings
from evaluation_cancel.schemas.kafka_settings import load_settings


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
