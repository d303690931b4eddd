"""The environment variable TEST_STACK, which chooses the environment of a test run. See `environment.py`."""

import os

import pytest

STACKS = ("memory", "real", "kubelet", "containers")


def chosen_stack() -> str:
    """One of `STACKS`. Raises `pytest.UsageError` for any other value of TEST_STACK."""
    chosen = os.environ.get("TEST_STACK", "memory")
    if chosen not in STACKS:
        raise pytest.UsageError(f"TEST_STACK is one of {', '.join(STACKS)}, not {chosen!r}")
    return chosen
