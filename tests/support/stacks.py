"""Which stand a test run is for; what each is made of is said in `environment.py`."""

import os

import pytest

STACKS = ("memory", "real", "containers")


def chosen_stack() -> str:
    chosen = os.environ.get("TEST_STACK", "memory")
    if chosen not in STACKS:
        raise pytest.UsageError(f"TEST_STACK is one of {', '.join(STACKS)}, not {chosen!r}")
    return chosen
