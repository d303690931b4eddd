"""Where the address and the password of a database come from: a setting, a file, or the output of a command.

Both are read for each new connection, so that a rotated password or a token that lives for minutes needs no restart.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from evaluation_cancel.schemas.postgres.address import PostgresAddress, parse_dsn
from evaluation_cancel.schemas.programs import ProgramError, printed_by

_REUSED_FOR: Final = 5.0
"""Seconds for which an output is used again, so that a full pool that connects anew runs the command once."""


class LoginUnreadableError(OSError):
    """The address or the password cannot be read now. An outage like one of Postgres itself."""


@dataclass(kw_only=True, slots=True)
class PostgresLogin:
    """Reads what a connection needs. One for each pool."""

    dsn: SecretStr
    dsn_file: Path | None = None
    """Holds the DSN; then `dsn` is not used."""
    password_file: Path | None = None
    password_command: Sequence[str] = ()
    """Program and arguments; it prints the password."""
    command_limit: float = 10.0
    """Seconds for the command."""
    _printed: tuple[float, str] = field(default=(0.0, ""), repr=False)
    _running: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @classmethod
    def at(cls, dsn: str) -> PostgresLogin:
        """The login that stands in the DSN."""
        return cls(dsn=SecretStr(dsn))

    def check(self) -> None:
        """Raises `ValueError` if one source too many is named, or a file does not hold what it should."""
        if self.password_file is not None and self.password_command:
            raise ValueError("the password comes from a file or from a command, not from both")
        try:
            self.address()
            if self.password_file is not None:
                _read(self.password_file)
        except LoginUnreadableError as error:
            raise ValueError(str(error)) from None

    async def arguments(self) -> dict[str, Any]:
        """The arguments of `asyncpg.connect` that say where and as whom. Raises `LoginUnreadableError`."""
        address = self.address()
        found: dict[str, Any] = {"dsn": address.dsn}
        if address.connect_timeout is not None:
            found["timeout"] = address.connect_timeout
        if self.password_file is not None:
            found["password"] = _read(self.password_file)
        elif self.password_command:
            found["password"] = await self._print_password()
        return found

    def address(self) -> PostgresAddress:
        """The address as it is now. Raises `LoginUnreadableError` naming the file, if it comes from one."""
        if self.dsn_file is None:
            return parse_dsn(self.dsn.get_secret_value())
        try:
            return parse_dsn(_read(self.dsn_file))
        except ValueError as error:
            raise LoginUnreadableError(f"the DSN in {self.dsn_file} {error}") from None

    async def _print_password(self) -> str:
        async with self._running:
            printed_at, password = self._printed
            if password and time.monotonic() - printed_at < _REUSED_FOR:
                return password
            password = await _output(self.password_command, self.command_limit)
            self._printed = time.monotonic(), password
            return password


def _read(path: Path) -> str:
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise LoginUnreadableError(f"{path} cannot be read: {error}") from None
    if not text:
        raise LoginUnreadableError(f"{path} is empty")
    return text


async def _output(command: Sequence[str], limit: float) -> str:
    """What the command prints, without white space around it."""
    try:
        printed = await printed_by(command, limit=limit)
    except ProgramError as error:
        raise LoginUnreadableError(f"the password command {error}") from None
    password = printed.decode(errors="replace").strip()
    if not password:
        raise LoginUnreadableError(f"the password command {command[0]!r} printed nothing")
    return password
