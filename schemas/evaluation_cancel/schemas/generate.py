"""Writes the published JSON Schemas: `python -m evaluation_cancel.schemas.generate`.

The schemas refuse unknown fields, so that a writer notices a misspelt name; the runtime ignores them. The runtime alone
checks what a schema cannot express, such as lengths in bytes. A test fails when the files are outdated.
"""

import json
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from evaluation_cancel.schemas.commands import CancelEvaluation
from evaluation_cancel.schemas.envelope import schema_uri
from evaluation_cancel.schemas.events import EVENT_TYPES

DIRECTORY: Final = Path(__file__).parents[2] / "json"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
MESSAGES: Final[dict[str, type[BaseModel]]] = {"CancelEvaluation": CancelEvaluation, **EVENT_TYPES}


def main() -> None:
    DIRECTORY.mkdir(exist_ok=True)
    for name, text in documents().items():
        (DIRECTORY / name).write_text(text)


def documents() -> dict[str, str]:
    """File name to content, of every message."""
    return {f"{name}.v1.json": _document(name, message) for name, message in MESSAGES.items()}


def _document(name: str, message: type[BaseModel]) -> str:
    schema = _closed(message.model_json_schema())
    return json.dumps({"$schema": DIALECT, "$id": schema_uri(name), "title": name, **schema}, indent=2) + "\n"


def _closed(schema: Any) -> Any:
    """Every object that lists its properties has no others; the titles that only repeat names are left out."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items() if key != "title" or not isinstance(value, str)}
    if "properties" in closed:
        closed["additionalProperties"] = False
    return closed


if __name__ == "__main__":
    main()
