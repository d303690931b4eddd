"""What log lines may not hold, whoever raises. In a process of its own, whose standard error is the log."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

_FAULT = """
import logging, structlog
from evaluation_cancel.consumer.runtime import logs
logs.configure("info")

def connect(dsn):
    raise RuntimeError(f"no connection over {len(dsn)} characters")

try:
    connect("postgresql://u:hunter2@db/x")
except RuntimeError as error:
    structlog.get_logger().error("A loop failed.", action="loop_failed", exc_info=error)
    logging.getLogger("theirs").error("failed", exc_info=error)
"""
_FORGERY = """
import structlog
from evaluation_cancel.consumer.runtime import logs
logs.configure("info")
structlog.get_logger().warning("Said.", action="said", detail='x\\n{"action": "forged"}\\r\\x1b[2J')
"""


def logged(program: str) -> tuple[str, list[dict[str, Any]]]:
    """Standard error of a program, whole and line by line."""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return ran.stderr, [json.loads(line) for line in ran.stderr.splitlines()]


def test_a_fault_is_told_without_the_values_of_local_variables() -> None:
    text, lines = logged(_FAULT)
    assert [line["message"] for line in lines] == ["A loop failed.", "failed"]
    assert all("no connection over" in str(line["exception"]) for line in lines)
    assert "hunter2" not in text


def test_a_line_break_in_foreign_text_begins_no_line_of_its_own() -> None:
    text, lines = logged(_FORGERY)
    assert [line["action"] for line in lines] == ["said"]
    assert "\x1b" not in text
