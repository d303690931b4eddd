"""Makes docs/settings.md from the settings classes: `python -m deploy.settings_page`. A test holds the page to them.

Names, types, defaults and bounds are the fields' own; what a setting is for is the docstring under it.
"""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from evaluation_cancel.consumer.audit.cli.settings import AuditSettings
from evaluation_cancel.consumer.migrations.evaluations import EvaluationsTable
from evaluation_cancel.consumer.settings import ClusterSettings, ConsumerSettings
from evaluation_cancel.producer.endpoint.settings import EndpointSettings, IssuerSettings
from evaluation_cancel.producer.settings import ProducerSettings
from evaluation_cancel.schemas.kafka_settings import ENVIRONMENT_PREFIX, KafkaSettings

PAGE: Final = Path(__file__).parent.parent / "docs" / "settings.md"

HEAD: Final = f"""# Settings

Made from the settings classes by `python -m deploy.settings_page`; do not edit.

Every setting is read from the environment, under the prefix `{ENVIRONMENT_PREFIX}`. Lists and maps are JSON. A process
reads its settings once, at start; all that is wrong with them is told at once, and no value is printed. Credentials
for S3 are found the way boto finds them (environment, profile, the pod's role).
"""

SECTIONS: Final[tuple[tuple[str, type[BaseModel], type[BaseModel] | None], ...]] = (
    ("Kafka, of every process", KafkaSettings, None),
    ("Consumer", ConsumerSettings, KafkaSettings),
    ("One entry of `CLUSTERS`", ClusterSettings, None),
    ("`EVALUATIONS_TABLE`", EvaluationsTable, None),
    ("Command line of the producing side", ProducerSettings, KafkaSettings),
    ("HTTP endpoint", EndpointSettings, ProducerSettings),
    ("One entry of `ENDPOINT_ISSUERS`", IssuerSettings, None),
    ("Audit", AuditSettings, ConsumerSettings),
)
_BOUNDS: Final = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def page() -> str:
    return "\n".join([HEAD, *(_section(*section) for section in SECTIONS)])


def _section(title: str, settings: type[BaseModel], inherited: type[BaseModel] | None) -> str:
    known = set(inherited.model_fields) if inherited is not None else set()
    fields = {name: field for name, field in settings.model_fields.items() if name not in known}
    in_environment = issubclass(settings, KafkaSettings)
    described = dict(_docstrings(settings))
    elsewhere = _read_elsewhere(title) if in_environment else {}
    lines = [f"## {title}", "", "| name | default | meaning |", "|---|---|---|"]
    for name, field in fields.items():
        shown = name.upper() if in_environment else name
        said = (described.get(name, ""), _bounds(field.metadata), elsewhere.get(name, ""))
        meaning = " ".join(part for part in said if part)
        lines.append(f"| `{shown}` | {_default(field)} | {_escaped(meaning)} |")
    return "\n".join([*lines, ""])


def _read_elsewhere(title: str) -> dict[str, str]:
    """What to say of names that another section's processes read too, with a default of their own."""
    return {
        name: f"The same variable as under “{other}”, which has a default and bounds of its own: set it for each "
        "process alone."
        for other, settings, inherited in SECTIONS
        if other != title and inherited is KafkaSettings
        for name in settings.model_fields.keys() - inherited.model_fields.keys()
    }


def _docstrings(settings: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """The string below each field, with its lines joined."""
    body = ast.parse(textwrap.dedent(inspect.getsource(settings))).body[0]
    assert isinstance(body, ast.ClassDef)  # noqa: S101  what else could a class's source be
    for field, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            text = ast.literal_eval(below.value)
            yield field.target.id, " ".join(str(text).split())


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return "see below" if "Table" in str(field.annotation) else _made(field)
    value: Any = field.default
    shown = value.get_secret_value() if hasattr(value, "get_secret_value") else value
    return "none" if shown in (None, "", (), frozenset()) else f"`{_plain(shown)}`"


def _made(field: FieldInfo) -> str:
    """A factory without arguments whose value is the same everywhere is shown, any other is not."""
    value = field.get_default(call_default_factory=True, validated_data={})
    return "made at start" if isinstance(value, str) else f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | tuple):
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _bounds(metadata: Iterable[Any]) -> str:
    said = [
        f"{sign} {_plain(getattr(each, name))}"
        for each in metadata
        for name, sign in _BOUNDS.items()
        if hasattr(each, name)
    ]
    return f"({', '.join(said)})" if said else ""


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
