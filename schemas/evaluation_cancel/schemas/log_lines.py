"""The format of log lines: a JSON object with a sentence, an `action`, and ids.

Both services use it. Each chooses the messages of client libraries: `consumer/runtime/logs.py`, `producer/logs.py`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer


def write_json_lines(level: str, *, libraries: Mapping[str, int], passing: logging.Filter | None = None) -> None:
    """Sets up structlog and the standard library's logging, once, on standard error.

    `libraries` are the levels from which on others' loggers are heard, `passing` what is let through of them.
    """
    chain: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Without the values of local variables: among them are passwords, tokens, and what others' commands say.
        structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
    ]
    structlog.configure(
        processors=[*chain, structlog.processors.EventRenamer("message"), structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*chain, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.EventRenamer("message"),
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    if passing is not None:
        handler.addFilter(passing)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name, least in libraries.items():
        logging.getLogger(name).setLevel(least)
