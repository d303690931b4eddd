"""Every message that was ever written must keep parsing: one file for each message and version, never changed."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from evaluation_cancel.schemas.generate import DIRECTORY, MESSAGES, documents
from evaluation_cancel.schemas.wire.codec import decode_command, decode_event
from evaluation_cancel.schemas.wire.records import RawRecord

FIXTURES = sorted((Path(__file__).parents[2] / "messages").glob("*.json"))


def schema(name: str) -> dict[str, Any]:
    return json.loads((DIRECTORY / f"{name}.v1.json").read_text())


@pytest.mark.parametrize("file", FIXTURES, ids=lambda file: file.stem)
def test_a_message_of_any_version_keeps_parsing(file: Path) -> None:
    fixture = json.loads(file.read_text())
    raw = RawRecord(
        topic="any",
        partition=0,
        offset=0,
        timestamp_ms=0,
        key=fixture["key"] and fixture["key"].encode(),
        value=json.dumps(fixture["value"]).encode(),
        headers=tuple((name, text.encode()) for name, text in fixture["headers"].items()),
    )
    name = file.name.split(".")[0]
    envelope, message = (decode_command if name == "CancelEvaluation" else decode_event)(raw)
    assert envelope.short_type == name
    written = message.model_dump(mode="json")
    data = fixture["value"].get("data", fixture["value"])
    assert written | data == written | {key: data[key] for key in data}
    jsonschema.validate(written, schema(name), format_checker=jsonschema.FormatChecker())


def test_every_message_has_a_fixture() -> None:
    assert {file.name for file in FIXTURES} >= {f"{name}.v1.json" for name in MESSAGES}


def test_the_published_schemas_are_current() -> None:
    published = {file.name: file.read_text() for file in DIRECTORY.glob("*.json")}
    assert published == documents(), "run `python -m evaluation_cancel.schemas.generate`"


@pytest.mark.parametrize("name", MESSAGES)
def test_the_published_schemas_are_sound_and_closed(name: str) -> None:
    published = schema(name)
    jsonschema.Draft202012Validator.check_schema(published)
    objects = [published, *published.get("$defs", {}).values()]
    assert all(each["additionalProperties"] is False for each in objects if "properties" in each)


def test_a_typing_error_is_told_by_the_schema() -> None:
    with pytest.raises(jsonschema.ValidationError, match="Additional properties"):
        jsonschema.validate({"evaluation_id": "x", "requested_by": {}, "cleanup": True}, schema("CancelEvaluation"))
