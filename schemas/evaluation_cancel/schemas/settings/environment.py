"""Reads settings from the environment; a value that is no JSON is one error among the others."""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

ENVIRONMENT_PREFIX: Final = "EVALUATION_CANCEL_"


class NotJson:
    """Stands for the text of a list or map that is not JSON, without the text, which may be secret."""


class EnvironmentSource(EnvSettingsSource):
    """Goes on behind text that is not JSON, so that all mistakes are told together."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ARG002
        """The value of a list or a map."""
        try:
            return json.loads(value)
        except ValueError:
            return NotJson()
