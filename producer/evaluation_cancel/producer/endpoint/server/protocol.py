"""The part of uvicorn that reads a request's head: limits its time, and refuses bytes that are not HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
import orjson
from uvicorn.protocols.http.h11_impl import H11Protocol


class _ImpatientProtocol(H11Protocol):
    _seconds: float
    _timer: asyncio.TimerHandle | None = None
    _refused = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._set_timer()

    def data_received(self, data: bytes) -> None:
        if not self._refused:
            super().data_received(data)
        if self._refused:
            return
        # Who goes on sending after the answer is let finish, so as to read it, but not for long.
        answered = self.cycle is not None and self.cycle.response_complete
        if self.conn.their_state is h11.IDLE or (answered and self.conn.their_state is h11.SEND_BODY):
            self._set_timer()
        else:
            self._unset_timer()

    def send_400_response(self, msg: str) -> None:
        # Closed at once, with more on its way to us, the connection would be reset and the answer lost with it.
        self._refused = True
        close = [(b"content-type", b"application/json"), (b"connection", b"close")]
        body = h11.Data(data=orjson.dumps({"detail": msg}))
        for event in (h11.Response(status_code=400, headers=close), body, h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.write_eof()
        self._set_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unset_timer()
        super().connection_lost(exc)

    def _set_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self._seconds, self.transport.abort)

    def _unset_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def impatient_protocol(seconds: float) -> type[H11Protocol]:
    """Uvicorn's protocol, which by itself waits for ever for a request's headers to be complete."""

    class ImpatientProtocol(_ImpatientProtocol):
        _seconds = seconds

    return ImpatientProtocol
