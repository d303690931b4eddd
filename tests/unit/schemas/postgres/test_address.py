"""A DSN is understood, or refused with the part that is wrong; its password is never in the error."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation_cancel.schemas.postgres.address import parse_dsn

PASSWORD = "hunter2secret"


def refusal(text: str) -> str:
    """What is said of an address, if it is refused."""
    try:
        parse_dsn(text)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("text", "dsn"),
    [
        ("postgresql://u:p@h:5432/d", "postgresql://u:p@h:5432/d"),
        ("postgres://u@h/d", "postgresql://u@h/d"),
        ("postgresql+asyncpg://u:p@h/d", "postgresql://u:p@h/d"),
        ("postgresql+psycopg2://u:p@h/d?sslmode=require", "postgresql://u:p@h/d?sslmode=require"),
        (" postgresql://u:p@h/d\n", "postgresql://u:p@h/d"),
        ("postgresql://u:p@a:1,b:2/d?target_session_attrs=read-write", None),
        ("postgresql://u:p@[::1]:5432/d", None),
        ("postgresql://u:p%2F%3F%23%40@h/d", None),
        ("postgresql:///d", None),
        ("postgresql://u:p@h/d?channel_binding=prefer&gssencmode=disable&keepalives_idle=30", "postgresql://u:p@h/d"),
    ],
)
def test_an_address_as_drivers_write_it_is_understood(text: str, dsn: str | None) -> None:
    assert parse_dsn(text).dsn == (dsn or text)


def test_the_time_for_connecting_is_taken_out() -> None:
    address = parse_dsn("postgresql://h/d?connect_timeout=7&application_name=x")
    assert (address.dsn, address.connect_timeout) == ("postgresql://h/d?application_name=x", 7.0)
    assert parse_dsn("postgresql://h/d?connect_timeout=0").connect_timeout is None


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("pgbouncer=true", "'pgbouncer'.*POSTGRES_STARTUP_PARAMETERS=false"),
        ("statement_timeout=500", "'statement_timeout'.*POSTGRES_STATEMENT_TIMEOUT"),
        ("no_such_thing=1", "'no_such_thing'.*understood are .*sslmode"),
        ("channel_binding=require", "channel_binding='require'.*prefer"),
        ("sslmode=sometimes", "sslmode='sometimes'.*verify-full"),
        ("sslrootcert=/no/such/ca.pem", "sslrootcert.*does not exist: /no/such/ca.pem"),
        ("connect_timeout=soon", "connect_timeout"),
    ],
)
def test_a_parameter_that_cannot_be_honoured_is_refused_by_its_name(query: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        parse_dsn(f"postgresql://u:{PASSWORD}@h/d?{query}")
    assert PASSWORD not in str(raised.value)


def test_a_file_that_exists_is_passed_on(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.touch()
    assert "sslrootcert=" in parse_dsn(f"postgresql://h/d?sslmode=verify-full&sslrootcert={authority}").dsn


@pytest.mark.parametrize("odd", ["/", "?", "#", "12/", "a#b/", "a?b#"])
def test_a_password_with_characters_that_end_the_host_is_refused_without_being_shown(odd: str) -> None:
    with pytest.raises(ValueError, match=r"%2F|unescaped") as raised:
        parse_dsn(f"postgresql://user:{odd}{PASSWORD}@host:5432/database")
    assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize("text", ["", "host=h dbname=d", "mysql://h/d", "h:5432/d", "http://h"])
def test_what_is_no_address_of_postgres_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="postgresql://"):
        parse_dsn(text)


@pytest.mark.parametrize("port", ["0", "65536", "x", "-1"])
def test_a_port_that_cannot_be_one_is_refused(port: str) -> None:
    with pytest.raises(ValueError, match="port"):
        parse_dsn(f"postgresql://u:p@h:{port}/d")


@given(st.text(max_size=40))
def test_any_text_is_understood_or_refused_without_being_shown(text: str) -> None:
    assert PASSWORD not in refusal(f"postgresql://u:{PASSWORD}{text}@h/d")


def test_an_address_does_not_show_its_password() -> None:
    assert PASSWORD not in repr(parse_dsn(f"postgresql://u:{PASSWORD}@h/d"))
