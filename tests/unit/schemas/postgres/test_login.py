"""The password comes from a setting, a file or a command, as it is when a connection is opened."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from evaluation_cancel.schemas.postgres.login import LoginUnreadableError, PostgresLogin

DSN = SecretStr("postgresql://u:old@h/d")


def command(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


async def test_the_address_alone_is_enough() -> None:
    assert await PostgresLogin(dsn=DSN).arguments() == {"dsn": "postgresql://u:old@h/d"}


async def test_a_changed_file_counts_for_the_next_connection(tmp_path: Path) -> None:
    password, dsn = tmp_path / "password", tmp_path / "dsn"
    password.write_text("one\n")
    dsn.write_text("postgresql://u@a/d?connect_timeout=3\n")
    login = PostgresLogin(dsn=DSN, dsn_file=dsn, password_file=password)
    assert await login.arguments() == {"dsn": "postgresql://u@a/d", "password": "one", "timeout": 3.0}
    password.write_text(" two ")
    dsn.write_text("postgresql://u@b/d")
    assert await login.arguments() == {"dsn": "postgresql://u@b/d", "password": "two"}


@pytest.mark.parametrize("content", [None, "", "  \n"])
async def test_a_file_that_is_missing_or_empty_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_text(content)
    login = PostgresLogin(dsn=DSN, password_file=path)
    with pytest.raises(LoginUnreadableError, match="password"):
        await login.arguments()
    with pytest.raises(ValueError, match="password"):
        login.check()


async def test_an_address_in_a_file_that_cannot_be_used_is_told_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "dsn"
    path.write_text("postgresql://u:secret/word@h/d")
    with pytest.raises(LoginUnreadableError, match=r"dsn has an @") as raised:
        await PostgresLogin(dsn=DSN, dsn_file=path).arguments()
    assert "secret" not in str(raised.value)


async def test_a_command_prints_the_password() -> None:
    login = PostgresLogin(dsn=DSN, password_command=command("print(' token ')"))
    assert (await login.arguments())["password"] == "token"


async def test_connections_that_are_opened_together_run_the_command_once(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'a').write('x'); print('token')"
    login = PostgresLogin(dsn=DSN, password_command=command(code))
    await asyncio.gather(*(login.arguments() for _ in range(5)))
    assert ran.read_text() == "x"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys; sys.exit('no credentials')", "ended with 1: no credentials"),
        ("pass", "printed nothing"),
        ("import time; time.sleep(60)", "had not ended after 0.5 s"),
    ],
)
async def test_a_command_that_fails_says_why(code: str, said: str) -> None:
    login = PostgresLogin(dsn=DSN, password_command=command(code), command_limit=0.5 if "sleep" in code else 30)
    with pytest.raises(LoginUnreadableError, match=said):
        await login.arguments()


async def test_a_command_that_does_not_exist_is_named() -> None:
    with pytest.raises(LoginUnreadableError, match="'/no/such/program' cannot be run: No such file"):
        await PostgresLogin(dsn=DSN, password_command=("/no/such/program",)).arguments()


def test_two_sources_of_one_password_are_one_too_many(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("x")
    with pytest.raises(ValueError, match="not from both"):
        PostgresLogin(dsn=DSN, password_file=path, password_command=("x",)).check()


def test_a_login_does_not_show_its_password() -> None:
    assert "old" not in repr(PostgresLogin(dsn=DSN))
