"""Shows the settings of a process: each with its value and where that came from. Secrets are masked."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from pydantic_settings import BaseSettings

from evaluation_cancel.schemas.plain_text import visible
from evaluation_cancel.schemas.settings.environment import ENVIRONMENT_PREFIX


def shown_settings(settings: BaseSettings) -> Iterator[str]:
    """One line for each setting: variable, value as JSON, and `environment` or `default`."""
    given = {variable.upper() for variable in os.environ}
    values = settings.model_dump(mode="json")
    for name in type(settings).model_fields:
        variable = f"{ENVIRONMENT_PREFIX}{name.upper()}"
        origin = "environment" if variable in given else "default"
        yield f"{variable}={visible(json.dumps(values[name], ensure_ascii=False))}  # {origin}"
