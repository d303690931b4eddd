"""What each error of Postgres and its driver means: try again, mend the set-up, or a value that cannot be stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from evaluation_cancel.consumer.domain.errors import TemporaryError, Unstorable

PostgresError = asyncpg.PostgresError
"""The driver's class for an error that Postgres reports; `translated` lets some of these through."""

_DATA_CLASSES: Final = ("22", "23", "54", "EC", "P0")
"""SQLSTATE classes of a row that can never be stored: data exception, integrity, program limit, our trigger's refusal
(EC), and an exception raised by a trigger of the table's owner (P0). They concern one row; all others go on."""
_PASSING_CLASSES: Final = ("08", "40", "53", "57")
"""Connection, rollback (serialization, deadlock), resources, operator intervention (shutdown, timeouts)."""
_PASSING_STATES: Final = ("55000", "55P03", "25006", "25P03")
"""Not accepting connections; lock not available; read-only (a failover under way); idle in transaction timed out."""
_STALE_SESSIONS: Final = ("25006", "57P01", "57P02", "57P03", "57P05")
"""Read-only, shut down, crashed, starting up, idle session timed out: other sessions of the pool lead to the same
server, while a new one may reach the server that took over."""
_SET_UP: Final = {
    "28": ("postgres_login_refused", "Postgres refuses the login; check user, password and pg_hba.conf"),
    "3D000": ("postgres_database_missing", "the database of the DSN does not exist"),
    "42501": ("postgres_rights_missing", "the login lacks a right of docs/rights.md"),
    "3F000": ("postgres_schema_missing", "the schema is not there; has `migrate upgrade` been run?"),
    "42P01": ("postgres_schema_missing", "a table is not there; has `migrate upgrade` been run?"),
    "42703": ("postgres_schema_missing", "a column is not there; has `migrate upgrade` been run?"),
    "42883": ("postgres_schema_missing", "a function is not there; has `migrate upgrade` been run?"),
}
"""What an operator has to mend, by SQLSTATE or its class. It is tried again, since that needs no restart then."""


def is_stale(error: asyncpg.PostgresError) -> bool:
    """Whether new sessions may do better than those that are open."""
    return (error.sqlstate or "") in _STALE_SESSIONS


@contextmanager
def translated() -> Iterator[None]:
    """Translates the driver's errors into `TemporaryError` and `Unstorable`; any other error is a bug and passes."""
    try:
        yield
    except asyncpg.PostgresError as error:
        _raise_translated(error)
        raise
    except UnicodeEncodeError as error:
        raise Unstorable("unstorable", f"not valid UTF-8: {error.reason}") from error
    except (OSError, TimeoutError, asyncpg.InterfaceError) as error:
        if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
            raise Unstorable("unstorable", f"the driver refused a value: {error}") from error
        raise TemporaryError(
            "postgres_unavailable", str(error) or type(error).__name__, outcome_unknown=True
        ) from error


def _raise_translated(error: asyncpg.PostgresError) -> None:
    state = error.sqlstate or ""
    if state.startswith(_DATA_CLASSES):
        raise Unstorable("unstorable", f"Postgres refused a value: {error}") from error
    if state.startswith(_PASSING_CLASSES) or state in _PASSING_STATES:
        raise TemporaryError("postgres_unavailable", f"{state}: {error}", outcome_unknown=True) from error
    to_mend = _SET_UP.get(state) or _SET_UP.get(state[:2])
    if to_mend is not None:
        code, sentence = to_mend
        raise TemporaryError(code, f"{sentence} ({state}: {error})") from error
