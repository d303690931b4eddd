"""Logs as JSON lines on standard error: a sentence, an `action`, ids. Client libraries' own lines are rare."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer

from consumer.quiet import Quiet

_NOISY = ("aiokafka", "kubernetes_asyncio", "aiobotocore", "botocore", "asyncio", "aiohttp")


class _OncePerSecond(logging.Filter):
    """A client whose broker is away writes thousands of lines a second; one of each kind tells as much."""

    def __init__(self) -> None:
        super().__init__()
        self._quiet = Quiet()

    def filter(self, record: logging.LogRecord) -> bool:
        held_back = self._quiet.allow(record.name.partition(".")[0])
        if held_back:
            record.msg = f"{record.msg} (and {held_back} more lines held back)"
        return held_back is not None


def configure(level: str) -> None:
    """Sets up structlog and the standard library's logging, once, from the composition root."""
    chain: list[Any] = [
        structlog.contextvars.merge_contextvars,
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
    handler.addFilter(_OncePerSecond())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
