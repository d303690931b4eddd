from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from evaluation_cancel.schemas.generate import DIRECTORY, MESSAGES
from evaluation_cancel.schemas.topics import Topics
from evaluation_cancel.schemas.wire.codec import UndecodableRecord, dead_letter, decode_command, encode_event
from tests.support.schemas.examples import CANCELLED, envelope, record

DOCUMENT: dict[str, Any] = yaml.safe_load((DIRECTORY.parent / "asyncapi.yaml").read_text())
SCHEMAS = DOCUMENT["components"]["schemas"]


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def target(reference: str) -> Any:
    node = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return node


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        assert target(reference) if reference.startswith("#/") else (DIRECTORY.parent / reference).is_file()


def test_every_message_is_described_with_its_schema() -> None:
    payloads = {name: message.get("payload") for name, message in DOCUMENT["components"]["messages"].items()}
    assert payloads.pop("DeadLetter") is None
    assert payloads == {name: {"$ref": f"json/{name}.v1.json"} for name in MESSAGES}


def test_the_topics_are_the_ones_in_use() -> None:
    topics = Topics()
    addresses = [channel["address"] for channel in DOCUMENT["channels"].values()]
    assert addresses == [topics.commands, topics.events, topics.dead_letters]


def test_every_header_that_is_written_is_described() -> None:
    sent = envelope("EvaluationCancelled", causationid="c", cancellationid="d", sequence=1, correlationid="e")
    known = SCHEMAS["Headers"]["properties"].keys() | SCHEMAS["EventHeaders"]["allOf"][1]["properties"].keys()
    assert {name for name, _ in encode_event(sent, CANCELLED).headers} <= known


def test_every_header_of_a_dead_letter_is_described() -> None:
    raw = record(b"nonsense", {"dlq_mine": b"1"})
    with pytest.raises(UndecodableRecord) as caught:
        decode_command(raw)
    names = {name for name, _ in dead_letter(raw, caught.value).headers}
    described = SCHEMAS["DeadLetterHeaders"]
    assert set(described["required"]) <= names <= described["properties"].keys()
