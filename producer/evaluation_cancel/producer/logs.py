"""Which messages of client libraries the service logs. The command line shows progress instead."""

from __future__ import annotations

import logging
from typing import Final

from evaluation_cancel.schemas.log_lines import write_json_lines

_QUIET: Final = ("aiokafka", "asyncio", "httpx", "httpcore", "uvicorn.access")
"""What goes wrong in these is told by our own lines; aiokafka alone writes thousands a second in an outage."""


def configure(level: str) -> None:
    """Once, from the composition root."""
    write_json_lines(level, libraries=dict.fromkeys(_QUIET, logging.CRITICAL))
