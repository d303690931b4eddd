"""The chart, the compose file and the image's lock: what they say fits the code.

Where there is a `helm`, the chart is rendered; else its templates are read with the template language taken out.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local.kubernetes.admin import CONSUMER_RULES
from evaluation_cancel.consumer.audit.cli.settings import AuditSettings
from evaluation_cancel.consumer.settings import ConsumerSettings
from evaluation_cancel.producer.endpoint.settings import EndpointSettings
from evaluation_cancel.schemas.settings.environment import ENVIRONMENT_PREFIX

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy" / "chart"
TEMPLATES = sorted((CHART / "templates").glob("*.yaml"))
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
PROGRAMS = (ConsumerSettings, EndpointSettings, AuditSettings)
KNOWN = {name.upper() for settings in PROGRAMS for name in settings.model_fields}


def without_template_language(text: str) -> str:
    """Lines that only steer are dropped, values become a word."""
    kept = [line for line in text.splitlines() if not re.fullmatch(r"\s*\{\{-.*\}\}\s*", line)]
    return re.sub(r"\{\{.*?\}\}", "word", "\n".join(kept))


def rendered(*settings: str) -> list[dict[str, Any]]:
    helm = shutil.which("helm")
    if helm is None:
        documents = [yaml.safe_load_all(without_template_language(each.read_text())) for each in TEMPLATES]
        return [document for several in documents for document in several if document]
    command = [helm, "template", "it", str(CHART), *(f"--set={each}" for each in settings)]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return [document for document in yaml.safe_load_all(printed) if document]


def containers(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        c for d in documents if "template" in d.get("spec", {}) for c in d["spec"]["template"]["spec"]["containers"]
    ]


def test_every_document_names_its_kind() -> None:
    documents = rendered("endpoint.enabled=true")
    kinds = {document["kind"] for document in documents}
    assert kinds >= {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Deployment", "Service", "Job"}


def test_it_grants_what_the_local_system_grants_and_no_more() -> None:
    helpers = (CHART / "templates" / "_helpers.tpl").read_text()
    (rules,) = re.findall(r'define "rules" -\}\}\n(.*?)\{\{- end', helpers, re.DOTALL)
    assert yaml.safe_load(rules) == [dict(rule) for rule in CONSUMER_RULES]


@pytest.mark.skipif(shutil.which("helm") is None, reason="only helm can render the roles")
def test_with_namespaces_the_rights_are_granted_in_each_and_else_in_the_cluster() -> None:
    roles = [each for each in rendered() if each["kind"] == "ClusterRole"]
    assert [role["rules"] for role in roles] == [[dict(rule) for rule in CONSUMER_RULES]]
    several = [each["kind"] for each in rendered("namespaces={a,b}")]
    assert several.count("Role") == several.count("RoleBinding") == 2
    assert "ClusterRole" not in several


def test_every_setting_that_is_named_exists() -> None:
    assert set(VALUES["settings"]) <= KNOWN
    text = "".join(path.read_text() for path in [*TEMPLATES, CHART / "values.yaml", ROOT / "deploy" / "compose.yaml"])
    named = set(re.findall(rf"{ENVIRONMENT_PREFIX}([A-Z0-9_]+[A-Z0-9])", text))
    assert named <= KNOWN, named - KNOWN


def test_commands_and_probes_are_those_of_the_programs() -> None:
    for container in containers(rendered("endpoint.enabled=true", "archiver.enabled=true")):
        assert container["command"][0] in {"cancel-consumer", "cancel-producer", "sh"}
        if container["name"] in {"consumer", "endpoint"}:
            assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
            assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_the_archiver_finds_its_key_where_it_is_mounted_and_has_no_rights_on_the_cluster() -> None:
    (pod,) = (
        each["spec"]["template"]["spec"]
        for each in rendered("archiver.enabled=true")
        if each["kind"] == "Deployment" and each["metadata"]["labels"]["app.kubernetes.io/component"] == "archiver"
    )
    (container,) = pod["containers"]
    (key,) = (each["value"] for each in container["env"] if each["name"].endswith("AUDIT_SIGNING_KEY_FILE"))
    assert Path(key).parent == Path(container["volumeMounts"][0]["mountPath"])
    assert pod["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pod


def test_ports_and_graces_fit_the_defaults_of_the_settings() -> None:
    ports = {
        c["name"]: c["ports"][0]["containerPort"] for c in containers(rendered("endpoint.enabled=true")) if "ports" in c
    }
    assert ports["consumer"] == ConsumerSettings.model_fields["http_port"].default
    assert ports["endpoint"] == EndpointSettings.model_fields["endpoint_port"].default
    graces = [
        each["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        for each in rendered("endpoint.enabled=true")
        if each["kind"] == "Deployment"
    ]
    for settings, field in ((ConsumerSettings, "stop_timeout"), (EndpointSettings, "endpoint_stop_timeout")):
        assert min(graces) > settings.model_fields[field].default


def test_the_compose_file_starts_the_programs_after_what_they_need() -> None:
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    services = compose["services"]
    for name in ("consumer", "endpoint"):
        assert set(services[name]["depends_on"]) == {"database", "topics"}
    assert services["consumer"]["command"] == "cancel-consumer run"


def test_the_image_installs_what_the_tests_ran_with() -> None:
    def pinned(path: Path) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9.-]+)==([^\s;\\]+)", path.read_text(), re.MULTILINE))

    everything, image = pinned(ROOT / "requirements.lock"), pinned(ROOT / "deploy" / "requirements.lock")
    assert image.items() <= everything.items()
    assert {"aiokafka", "asyncpg", "fastapi", "pyarrow", "uvicorn"} <= set(image)
    assert not {"moto", "pytest", "confluent-kafka"} & set(image)


@pytest.mark.parametrize("path", ["deploy/requirements.lock", "schemas", "producer", "consumer"])
def test_what_the_image_is_made_of_is_there_and_not_ignored(path: str) -> None:
    assert (ROOT / path).exists()
    assert f"!{path}" in (ROOT / ".dockerignore").read_text().splitlines()
