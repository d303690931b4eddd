"""Loads the settings of a process, and tells all mistakes in them at once."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Iterator
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from evaluation_cancel.schemas.settings.environment import ENVIRONMENT_PREFIX, NotJson
from evaluation_cancel.schemas.settings.names import SETTING_NAMES

_ELSEWHERE: Final = frozenset({"TEAM", "URL", "TOKEN", "CACHE"})
"""Variables of the command lines and of the local stand."""
_OF_A_SERVICE: Final = re.compile(
    r"(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
"""What Kubernetes puts into every pod for a Service whose name begins like our prefix."""
_Settings = TypeVar("_Settings", bound=BaseSettings)


def load_settings(settings_class: type[_Settings]) -> _Settings:
    """Read the settings from the environment.

    Prints every error on standard error, without the value, which may be secret, and exits with 2.
    """
    problems = list(_unknown())
    try:
        settings = settings_class()
    except ValidationError as error:
        problems += [_problem(each) for each in error.errors(include_url=False)]
    else:
        if not problems:
            return settings
    print("The settings are not usable:", *problems, sep="\n  ", file=sys.stderr)  # noqa: T201  # no logs yet
    raise SystemExit(2)


def _unknown() -> Iterator[str]:
    """Variables with our prefix that are no setting of any process: a mistyped one would do nothing, in silence."""
    for variable in sorted(os.environ):
        name = variable.upper().removeprefix(ENVIRONMENT_PREFIX)
        if name == variable.upper() or name in SETTING_NAMES or name in _ELSEWHERE or _OF_A_SERVICE.fullmatch(name):
            continue
        near = difflib.get_close_matches(name, SETTING_NAMES, n=1)
        meant = f"; is {ENVIRONMENT_PREFIX}{near[0]} meant?" if near else ""
        yield f"{variable}: there is no such setting{meant}"


def _problem(error: Any) -> str:
    """An empty path means that several settings contradict each other."""
    path = ".".join(map(str, error["loc"])).upper()
    message = "is not valid JSON, as lists and maps have to be" if isinstance(error["input"], NotJson) else error["msg"]
    return f"{ENVIRONMENT_PREFIX}{path}: {message}" if path else message
