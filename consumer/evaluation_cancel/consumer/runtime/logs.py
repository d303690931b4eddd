"""The service's log, in which lines of client libraries are throttled."""

from __future__ import annotations

import logging

from evaluation_cancel.consumer.runtime.log_throttle import LogThrottle
from evaluation_cancel.schemas.log_lines import write_json_lines

_NOISY = ("aiokafka", "kubernetes_asyncio", "aiobotocore", "botocore", "asyncio", "aiohttp")


class _OncePerSecond(logging.Filter):
    """Throttles each library: a client whose broker is away writes thousands of lines a second."""

    def __init__(self) -> None:
        super().__init__()
        self._throttle = LogThrottle()

    def filter(self, record: logging.LogRecord) -> bool:
        suppressed = self._throttle.allow(record.name.partition(".")[0])
        if suppressed:
            record.msg = f"{record.msg} (and {suppressed} more lines suppressed)"
        return suppressed is not None


def configure(level: str) -> None:
    """Configures logging for the process. Call once, at the start."""
    write_json_lines(level, libraries=dict.fromkeys(_NOISY, logging.WARNING), passing=_OncePerSecond())
