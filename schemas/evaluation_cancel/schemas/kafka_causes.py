"""Finds out why aiokafka could not connect: its exception says "unable to bootstrap", only its log says the reason.

A wrong password, a mechanism that the broker does not offer, an unknown authority and a wrong host name are told apart
by the lines that the client logs on the way.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_CLIENT: Final = logging.getLogger("aiokafka")
_MOST: Final = 3


class Causes(logging.Handler):
    """Keeps what a client complained of, each complaint once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self._told:
            self._told.append(text)

    def behind(self, error: BaseException) -> str:
        """The error in words, with its causes."""
        said = str(error) or type(error).__name__
        return "; ".join([said, *self._told[-_MOST:]])


@contextmanager
def listening_to_the_client() -> Iterator[Causes]:
    """Collects causes until the context ends. Lines of other clients of the process may be among them."""
    causes = Causes()
    _CLIENT.addHandler(causes)
    try:
        yield causes
    finally:
        _CLIENT.removeHandler(causes)
