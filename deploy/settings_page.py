"""Generates docs/settings.md from the settings classes: `python -m deploy.settings_page`. A test compares the two.

Names, defaults and bounds come from the fields, meanings from the docstrings below the fields.
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
from evaluation_cancel.consumer.migrations.mapping import EvaluationsTable
from evaluation_cancel.consumer.settings import ClusterSettings, ConsumerSettings
from evaluation_cancel.producer.endpoint.settings import EndpointSettings, IssuerSettings
from evaluation_cancel.producer.settings import ProducerSettings
from evaluation_cancel.schemas.kafka_settings import KafkaSettings
from evaluation_cancel.schemas.settings.environment import ENVIRONMENT_PREFIX

_ROOT: Final = Path(__file__).parent.parent
PAGE: Final = _ROOT / "docs" / "settings.md"
NAMES: Final = _ROOT / "schemas" / "evaluation_cancel" / "schemas" / "settings" / "names.py"

HEAD: Final = f"""# Settings

Generated from the settings classes by `python -m deploy.settings_page`; do not edit.

Every setting is an environment variable with the prefix `{ENVIRONMENT_PREFIX}`. Lists and maps are JSON. A process
reads its settings once, at start. It prints all errors in them, without the values, and exits with 2;
a variable with the prefix that is no setting of any process is one. boto finds the
credentials of S3 (environment, profile, the pod's role).
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
        parts = (described.get(name, ""), _bounds(field.metadata), elsewhere.get(name, ""))
        meaning = " ".join(part for part in parts if part)
        lines.append(f"| `{shown}` | {_default(field)} | {_escaped(meaning)} |")
    return "\n".join([*lines, ""])


def _read_elsewhere(title: str) -> dict[str, str]:
    """Remarks on names that another section has too, with another default."""
    return {
        name: f"Also in “{other}”, with another default and other bounds: set it per process."
        for other, settings, inherited in SECTIONS
        if other != title and inherited is KafkaSettings
        for name in settings.model_fields.keys() - inherited.model_fields.keys()
    }


def _docstrings(settings: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """The docstring below each field, its lines joined."""
    body = ast.parse(textwrap.dedent(inspect.getsource(settings))).body[0]
    assert isinstance(body, ast.ClassDef)  # noqa: S101  # the source of a class
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
    """Show the value of a default factory, unless it differs from process to process."""
    value = field.get_default(call_default_factory=True, validated_data={})
    return "set at start" if isinstance(value, str) else f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | tuple):
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _bounds(metadata: Iterable[Any]) -> str:
    bounds = [
        f"{sign} {_plain(getattr(each, name))}"
        for each in metadata
        for name, sign in _BOUNDS.items()
        if hasattr(each, name)
    ]
    return f"({', '.join(bounds)})" if bounds else ""


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def names_module() -> str:
    """The module that holds the names of all settings, so that each process knows those of the others."""
    classes = (settings for _, settings, _ in SECTIONS if issubclass(settings, KafkaSettings))
    names = sorted({name.upper() for settings in classes for name in settings.model_fields})
    listed = "".join(f'        "{name}",\n' for name in names)
    return f'''"""The names of all settings of all processes, generated by `python -m deploy.settings_page`."""

from typing import Final

SETTING_NAMES: Final = frozenset(
    {{
{listed}    }}
)
'''


if __name__ == "__main__":
    PAGE.write_text(page())
    NAMES.write_text(names_module())
