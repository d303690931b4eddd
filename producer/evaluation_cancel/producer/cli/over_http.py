"""Cancels through the HTTP endpoint instead of Kafka: `cancel --url`. The token names the caller.

Each evaluation is one request, repeated with the same Idempotency-Key until its end, so it counts once. Progress and
exit codes are the same as without `--url`.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import httpx

from evaluation_cancel.producer.cli.cancelling import Progress, State

AT_ONCE: Final = 50
"""Requests open at one time."""
LONGEST_WAIT: Final = 50
"""Seconds that one request waits; then it is repeated."""
_MARGIN: Final = 20.0
PATIENCE: Final = 30.0
"""Seconds for an endpoint that says `later`, where no end is waited for."""
_PAUSE: Final = 1.0
_LOCAL: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_LAST_PORT: Final = 65535
_STATES: Final = {"cancelled": State.CANCELLED, "cancelling": State.ACCEPTED, "submitted": State.PUBLISHED}
_CODES: Final = {401: "unauthenticated", 404: "not_found"}
_SENDABLE: Final = re.compile(r"[!-~]([ -~]*[!-~])?")


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpWish:
    """What is the same for all the evaluations of one call."""

    reason: str | None = None
    cleanup_artifacts: bool = False

    @property
    def body(self) -> dict[str, Any]:
        given: dict[str, Any] = {} if self.reason is None else {"reason": self.reason}
        return {**given, "cleanup_artifacts": self.cleanup_artifacts}


def is_safe(url: str) -> bool:
    """Whether it is an address, and a token may be sent there: encrypted, or not beyond this machine."""
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    if not address.host or (address.port or 0) > _LAST_PORT:
        return False
    return address.scheme == "https" or (address.scheme == "http" and address.host in _LOCAL)


def is_sendable(text: str) -> bool:
    """Whether it can stand in a header. The client's own complaint would quote it, and it may be a token."""
    return _SENDABLE.fullmatch(text) is not None


@asynccontextmanager
async def endpoint_client(url: str, token: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=url,
        headers={"authorization": f"Bearer {token}"},
        timeout=LONGEST_WAIT + _MARGIN,
        trust_env=httpx.URL(url).host not in _LOCAL,
    ) as client:
        yield client


async def cancel_all_over_http(
    rows: Sequence[Progress],
    wish: HttpWish,
    *,
    client: httpx.AsyncClient,
    wait_seconds: float | None,
    changed: Callable[[Progress], None],
) -> None:
    """Fills in the rows. Without `wait_seconds` it ends when all are decided, else when all have ended."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(row: Progress) -> None:
        async with gate:
            await _One(row=row, wish=wish, client=client, changed=changed).cancel(wait_seconds)

    async with asyncio.TaskGroup() as tasks:
        for row in rows:
            tasks.create_task(one(row))


@dataclass(frozen=True, kw_only=True, slots=True)
class _One:
    row: Progress
    wish: HttpWish
    client: httpx.AsyncClient
    changed: Callable[[Progress], None]

    async def cancel(self, wait_seconds: float | None) -> None:
        until = time.monotonic() + (PATIENCE if wait_seconds is None else wait_seconds)
        try:
            while True:
                pause = await self._ask(None if wait_seconds is None else until - time.monotonic())
                if pause is None:
                    return
                if until - time.monotonic() <= pause:
                    self._give_up(wait_seconds)
                    return
                await asyncio.sleep(pause)
        finally:
            self.row.ended = time.monotonic()
            self.changed(self.row)

    async def _ask(self, left: float | None) -> float | None:
        """Asks once. None: that was the last word; else the seconds after which to ask again."""
        prefer = "respond-async" if left is None else f"wait={max(0, min(LONGEST_WAIT, int(left)))}"
        try:
            answer = await self.client.post(
                f"/v1/evaluations/{self.row.evaluation_id}/cancel",
                json=self.wish.body,
                headers={"idempotency-key": self.row.command_id, "prefer": prefer},
            )
        except httpx.RequestError as error:
            self._tell(State.UNKNOWN, "endpoint_unreachable", f"{type(error).__name__}: {error}")
            return None if left is None else _PAUSE
        return self._understand(answer, waits=left is not None)

    def _understand(self, answer: httpx.Response, *, waits: bool) -> float | None:
        said = _object(answer)
        code, detail = said.get("code"), said.get("detail")
        if answer.is_success:
            return self._succeeded(str(said.get("status")), answer, waits=waits)
        if answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR and "location" in answer.headers:
            self._tell(State.FAILED, code, _text(detail))
        elif answer.is_server_error or answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            # Be it the endpoint or something before it: the command may have been published, and the key finds out.
            self._tell(State.UNKNOWN, code or f"http_{answer.status_code}", _text(detail))
            return _seconds(answer.headers.get("retry-after"))
        elif code == "already_cancelled":
            self._tell(State.ALREADY_CANCELLED, code)
        else:
            otherwise = _CODES.get(answer.status_code, f"http_{answer.status_code}")
            self._tell(State.REJECTED, code or otherwise, _text(detail))
        return None

    def _succeeded(self, status: str, answer: httpx.Response, *, waits: bool) -> float | None:
        state = _STATES.get(status)
        if state is None:
            self._tell(State.UNKNOWN, "not_understood", f"{answer.status_code}, but no answer of this endpoint's")
            return None
        self._tell(state)
        return _PAUSE if waits and state is not State.CANCELLED else None

    def _give_up(self, seconds: float | None) -> None:
        if seconds is not None and self.row.state is not State.UNKNOWN:
            self._tell(State.TIMED_OUT, detail=f"after {seconds:g} s; it is not given up")

    def _tell(self, state: State, code: str | None = None, detail: str | None = None) -> None:
        self.row.become(state, code, detail)
        self.changed(self.row)


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _text(detail: object) -> str | None:
    """A sentence, or the first of a list of problems."""
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        return str(detail[0].get("msg"))
    return None if detail is None else str(detail)


def _seconds(retry_after: str | None) -> float:
    return float(retry_after) if retry_after is not None and retry_after.isdigit() else _PAUSE
