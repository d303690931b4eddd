"""Checks the address of a database before anything connects, so that a mistake is named at the start.

asyncpg takes a parameter that it does not know for a setting of the session, and the server then refuses each
connection. So every parameter is understood or refused here. No error has the address in it: it may hold a password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlencode

_SCHEME: Final = re.compile(r"postgres(?:ql)?(?:\+[a-z0-9_]+)?://", re.IGNORECASE)
"""With or without the name of a driver, as SQLAlchemy writes it."""
_FILES: Final = ("passfile", "sslcert", "sslkey", "sslrootcert", "sslcrl")
_PASSED_ON: Final = {
    *("host", "port", "dbname", "database", "user", "password", "service", "target_session_attrs"),
    *("krbsrvname", "gsslib", "sslmode", "sslpassword", "sslnegotiation"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version", "options", "application_name"),
    *_FILES,
}
_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_DROPPED: Final = {
    "channel_binding": ("disable", "prefer"),
    "gssencmode": ("disable", "prefer"),
    "client_encoding": ("utf8", "utf-8", "auto"),
    "fallback_application_name": (),
    "keepalives": (),
    "keepalives_idle": (),
    "keepalives_interval": (),
    "keepalives_count": (),
    "tcp_user_timeout": (),
}
"""Parameters of other drivers that change nothing here, with the values that may be dropped; none: all may."""
_HINTS: Final = {
    "pgbouncer": "set POSTGRES_STARTUP_PARAMETERS=false and POSTGRES_STATEMENT_CACHE_SIZE=0 instead",
    "prepared_statement_cache_size": "set POSTGRES_STATEMENT_CACHE_SIZE instead",
    "statement_cache_size": "set POSTGRES_STATEMENT_CACHE_SIZE instead",
    "statement_timeout": "set POSTGRES_STATEMENT_TIMEOUT instead",
    "connection_limit": "set POSTGRES_POOL_SIZE instead",
    "ssl": "write sslmode=require, or verify-full with sslrootcert",
}
_LAST_PORT: Final = 65535


@dataclass(frozen=True, kw_only=True, slots=True)
class PostgresAddress:
    """What asyncpg connects with."""

    dsn: str = field(repr=False)
    connect_timeout: float | None = None
    """Seconds."""


def parse_dsn(text: str) -> PostgresAddress:
    """Raises `ValueError` with a sentence that says what is wrong and what would be right, without the address."""
    scheme = _SCHEME.match(text.strip())
    if scheme is None:
        raise ValueError("must begin with postgresql://")
    place, mark, query = text.strip()[scheme.end() :].partition("?")
    _check_place(place, f"{mark}{query}")
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    timeout = _seconds(parameters.pop("connect_timeout", None))
    kept = {name: value for name, value in parameters.items() if not _is_dropped(name, value)}
    _check_values(kept)
    return PostgresAddress(
        dsn=f"postgresql://{place}{'?' if kept else ''}{urlencode(kept)}", connect_timeout=timeout or None
    )


def _check_place(place: str, rest: str) -> None:
    hosts, _, path = place.partition("/")
    if "@" in path or "@" in rest or "#" in place or "#" in rest:
        raise ValueError(
            "has an @ or # behind the host: write / ? # @ : in a user name or password as %2F %3F %23 %40 %3A"
        )
    for host in hosts.rpartition("@")[2].split(","):
        port = host.rpartition("]")[2].rpartition(":")[2] if ":" in host.rpartition("]")[2] else ""
        if port and not (port.isdecimal() and 0 < int(port) <= _LAST_PORT):
            raise ValueError(
                "has a port that is no number from 1 to 65535; is there an unescaped / ? # or : in the password?"
            )


def _is_dropped(name: str, value: str) -> bool:
    """Whether the parameter changes nothing here. Raises `ValueError` if it is not understood."""
    if name in _PASSED_ON:
        return False
    if name not in _DROPPED:
        hint = _HINTS.get(name, f"understood are {', '.join(sorted({*_PASSED_ON, *_DROPPED, 'connect_timeout'}))}")
        raise ValueError(f"has the parameter {name!r}, which is not understood: {hint}")
    allowed = _DROPPED[name]
    if allowed and value.lower() not in allowed:
        raise ValueError(f"has {name}={value!r}, which cannot be had here: {' or '.join(allowed)} can")
    return True


def _check_values(parameters: dict[str, str]) -> None:
    mode = parameters.get("sslmode", "prefer")
    if mode not in _SSL_MODES:
        raise ValueError(f"has sslmode={mode!r}: it is one of {', '.join(_SSL_MODES)}")
    for name in _FILES:
        path = parameters.get(name)
        if path is not None and not Path(path).expanduser().is_file():
            raise ValueError(f"names a file in {name} that does not exist: {path}")


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    if not text.isdecimal():
        raise ValueError("has a connect_timeout that is no whole number of seconds")
    return float(text)
