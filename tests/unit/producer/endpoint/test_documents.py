"""The document against the console's own, field by field; what ours has beside is an addition."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evaluation_cancel.producer.app import application

GIVEN = json.loads((Path(__file__).parent / "openapi-cancel.json").read_text())
PATH = "/v1/evaluations/{evaluation_id}/cancel"


@pytest.fixture(scope="module")
def ours() -> dict[str, Any]:
    return application().openapi()


def differences(given: Any, ours: Any, where: str) -> list[str]:
    """Where ours lacks or changes what is given. Lists must agree, but for parameters: ours may have more."""
    if isinstance(given, dict) and isinstance(ours, dict):
        return [
            problem
            for name, value in given.items()
            for problem in (differences(value, ours[name], f"{where}.{name}") if name in ours else [f"{where}.{name}"])
        ]
    if isinstance(given, list) and where.endswith(".parameters"):
        return [f"{where}: {entry['name']}" for entry in given if entry not in ours]
    return [] if given == ours else [f"{where}: {ours!r} instead of {given!r}"]


def test_the_operation_is_the_given_one_field_by_field(ours: dict[str, Any]) -> None:
    assert list(GIVEN["paths"]) == [PATH]
    assert differences(GIVEN["paths"][PATH], ours["paths"][PATH], "operation") == []


def test_the_schemas_it_names_are_the_given_ones_exactly(ours: dict[str, Any]) -> None:
    for name, schema in GIVEN["components"]["schemas"].items():
        assert differences(schema, ours["components"]["schemas"][name], name) == []
        assert differences(ours["components"]["schemas"][name], schema, name) == []


def test_no_parameter_that_is_not_given_is_required(ours: dict[str, Any]) -> None:
    operation = ours["paths"][PATH]["post"]
    assert [p["name"] for p in operation["parameters"] if p["required"]] == ["evaluation_id"]
    assert not operation["requestBody"].get("required", False)


def test_every_operation_needs_a_bearer_token(ours: dict[str, Any]) -> None:
    operations = [operation for path in ours["paths"].values() for operation in path.values()]
    assert len(operations) == 3
    assert all(operation["security"] == [{"bearer": []}] for operation in operations)
    assert ours["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_the_command_line_prints_it(ours: dict[str, Any]) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "evaluation_cancel.producer", "openapi"],
        capture_output=True,
        check=True,
        timeout=60,
        text=True,
    )
    assert json.loads(printed.stdout) == json.loads(json.dumps(ours))


def test_the_comparison_finds_a_title_that_is_missing() -> None:
    changed = json.loads(json.dumps(GIVEN["paths"][PATH]))
    del changed["post"]["parameters"][0]["schema"]["title"]
    changed["post"]["tags"].reverse()
    assert len(differences(GIVEN["paths"][PATH], changed, "operation")) == 2
