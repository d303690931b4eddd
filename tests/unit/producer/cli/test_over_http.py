"""What `cancel --url` makes of answers that a whole system seldom gives; a server here says what it is told."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web

from evaluation_cancel.producer.cli import over_http
from evaluation_cancel.producer.cli.cancelling import Progress, exit_code
from evaluation_cancel.producer.cli.over_http import (
    HttpWish,
    cancel_all_over_http,
    endpoint_client,
    is_safe,
    is_sendable,
)

EVALUATION = UUID("11111111-2222-4333-8444-555555555555")
CANCELLED = (200, {"status": "cancelled", "evaluation_id": str(EVALUATION)}, {})
LATER = {"Retry-After": "0"}
SECRET = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"


@dataclass(kw_only=True)
class Server:
    url: str
    answers: list[tuple[int, Any, dict[str, str]]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    """The Idempotency-Key of each request."""

    async def answer(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers.get("idempotency-key"))
        status, body, headers = self.answers.pop(0)
        if isinstance(body, str):
            return web.Response(status=status, text=body, headers=headers)
        return web.json_response(body, status=status, headers=headers)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with started() as made:
        yield made


@asynccontextmanager
async def started() -> AsyncIterator[Server]:
    made = Server(url="")
    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", made.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()


async def cancel(server: Server, *answers: Any, wait_seconds: float | None = None) -> Progress:
    server.answers = list(answers)
    row = Progress(evaluation_id=EVALUATION, command_id="key-1")
    async with endpoint_client(server.url, "token") as client:
        await cancel_all_over_http(
            [row], HttpWish(), client=client, wait_seconds=wait_seconds, changed=lambda _row: None
        )
    assert server.answers == [], "it stopped asking too early"
    assert set(server.keys) == {"key-1"}
    return row


@pytest.mark.parametrize("wait_seconds", [None, 60.0], ids=["without --wait", "with --wait"])
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 520])
async def test_later_is_asked_again_with_the_same_key(server: Server, status: int, wait_seconds: float | None) -> None:
    row = await cancel(server, (status, {"detail": "later"}, LATER), CANCELLED, wait_seconds=wait_seconds)
    assert exit_code([row], waited=True) == 0


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
async def test_what_stays_away_is_unknown_and_never_refused(
    server: Server, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(over_http, "PATIENCE", 0.0)
    row = await cancel(server, (status, "<html>upstream is away</html>", LATER))
    assert (row.state, row.code) == ("unknown", f"http_{status}")
    assert exit_code([row], waited=False) == 3


async def test_a_failed_cancellation_is_the_last_word(server: Server) -> None:
    failed = (500, {"detail": "it goes on", "code": "rbac_denied"}, {"Location": "/v1/cancellations/1"})
    row = await cancel(server, failed, wait_seconds=60)
    assert (row.state, row.code) == ("failed", "rbac_denied")
    assert exit_code([row], waited=True) == 1


@pytest.mark.parametrize("body", ["<html>please log in</html>", {"status": "fine"}, ["cancelled"], "null"])
async def test_another_servers_200_is_not_taken_for_a_cancellation(server: Server, body: Any) -> None:
    row = await cancel(server, (200, body, {}))
    assert (row.state, row.code) == ("unknown", "not_understood")
    assert exit_code([row], waited=False) == 3


async def test_a_status_that_nobody_knows_is_told_as_it_is(server: Server) -> None:
    row = await cancel(server, (499, "", {}))
    assert (row.state, row.code) == ("rejected", "http_499")


async def test_submitted_counts_as_published_without_wait_and_is_followed_with_it(server: Server) -> None:
    submitted = (202, {"status": "submitted"}, {})
    assert (await cancel(server, submitted)).state == "published"
    assert (await cancel(server, submitted, CANCELLED, wait_seconds=60)).state == "cancelled"


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://console.example", True),
        ("https://console.example/behind/a/path", True),
        ("http://127.0.0.1:8080", True),
        ("http://[::1]:8080", True),
        ("http://console.example", False),
        ("http://localhost.example", False),
        ("ftp://127.0.0.1", False),
        ("console.example", False),
        ("http://[::1", False),
        ("https://", False),
        ("https://a:99999", False),
        ("https://a:b", False),
        ("", False),
    ],
)
def test_a_token_is_sent_only_to_an_address_that_is_encrypted_or_here(url: str, safe: bool) -> None:
    assert is_safe(url) is safe


@pytest.mark.parametrize(
    ("text", "sendable"),
    [("a", True), ("a b", True), (SECRET, True), ("", False), (" a", False), ("a\nb", False), ("é", False)],
)
def test_what_can_stand_in_a_header(text: str, sendable: bool) -> None:
    assert is_sendable(text) is sendable


@pytest.mark.parametrize(
    ("token", "arguments", "code"),
    [
        (f"{SECRET}\n", (), 0),
        (f"{SECRET}\nx", (), 2),
        (f"{SECRET}é", (), 2),
        (SECRET, ("--command-id", "a\nb"), 2),
        (SECRET, ("--command-id", "é"), 2),
        (SECRET, ("--url", "http://[::1"), 2),
    ],
    ids=["a line's end behind it", "two lines", "not ASCII", "an id of two lines", "an id not ASCII", "no address"],
)
async def test_what_cannot_be_sent_is_wrong_usage_and_a_token_is_never_shown(
    server: Server, token: str, arguments: tuple[str, ...], code: int
) -> None:
    server.answers = [CANCELLED]
    program = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "evaluation_cancel.producer",
            "cancel",
            str(EVALUATION),
            "--url",
            server.url,
            *arguments,
        ),
        env={**os.environ, "EVALUATION_CANCEL_TOKEN": token},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(100):
        said, _ = await program.communicate()
    assert program.returncode == code, said.decode()
    assert b"Traceback" not in said
    assert b"eyJ" not in said
    assert len(server.keys) == (1 if code == 0 else 0)
