"""The stand's Postgres keeps its data through whatever tests do to it."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import psutil
import pytest

from deploy.local.processes.process import workspace
from deploy.local.services import postgres as installation
from deploy.local.services.postgres import Postgres, postgres
from tests.support.shared_memory import made_by, shared_memory
from tests.support.waiting import until


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Postgres]:
    """One of our own: it is stopped and killed here."""
    async with workspace() as work, postgres(work) as started:
        yield started


async def rows(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM kept"))
    finally:
        await connection.close()


@pytest.fixture
async def filled(server: Postgres, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    name = request.node.name[:60]
    dsn = await server.create_database(name)
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 100) AS n")
    await connection.close()
    yield dsn
    await server.drop_database(name)


async def test_a_restart_keeps_the_data(server: Postgres, filled: str) -> None:
    await server.restart()
    assert await rows(filled) == 100


async def test_a_crash_keeps_the_data(server: Postgres, filled: str) -> None:
    server.kill()
    with pytest.raises((OSError, asyncpg.PostgresError)):
        await rows(filled)
    await server.start()
    assert await rows(filled) == 100


async def test_a_stop_ends_open_sessions(server: Postgres, filled: str) -> None:
    connection = await asyncpg.connect(filled)
    await server.stop()
    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        await connection.fetchval("SELECT 1")
    connection.terminate()
    await server.start()


async def test_a_paused_server_answers_nobody_until_it_is_resumed(server: Postgres, filled: str) -> None:
    connection = await asyncpg.connect(filled)
    server.pause()
    asking = asyncio.create_task(connection.fetchval("SELECT 1"))
    done, _ = await asyncio.wait({asking}, timeout=0.5)
    assert not done
    server.resume()
    assert await asyncio.wait_for(asking, 30) == 1
    await connection.close()


async def test_it_never_runs_as_root(server: Postgres) -> None:
    assert server.child is not None
    assert psutil.Process(server.child.pid).uids().real != 0


async def test_strangers_need_the_password(server: Postgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(server.dsn("postgres").replace(server.password, "guessed"))


async def test_nothing_stays_behind_not_even_shared_memory() -> None:
    async with workspace() as work, postgres(work) as server:
        segment = (server.data / "postmaster.pid").read_text().split("\n")[6].split()[1]
        assert segment in shared_memory()
        server.kill()
    assert segment not in shared_memory()
    assert not work.directory.exists()


@pytest.mark.parametrize("step", [1, 2, 3])
async def test_a_start_that_is_called_off_half_way_leaves_no_shared_memory(step: int) -> None:
    """Its three steps, each a process with a segment: two of initdb, then the server."""
    us, others = psutil.Process(), made_by(psutil.Process().children(recursive=True))
    segments: set[str] = set()

    def seen() -> bool:
        segments.update(made_by(us.children(recursive=True)) - others)
        return len(segments) == step

    async with workspace() as work:
        starting = asyncio.create_task(AsyncExitStack().enter_async_context(postgres(work)))
        await until(seen, every=0.003)
        starting.cancel()
        await asyncio.wait({starting})
    assert not segments & shared_memory()


async def test_programs_that_another_account_cannot_reach_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "_open_to_all", lambda _: False)
    async with workspace() as work, postgres(work) as server:
        assert await server.answers()
        assert (server.binaries.is_relative_to(work.directory)) == (os.geteuid() == 0)


def test_a_folder_is_open_to_all_only_if_each_one_above_it_is(tmp_path: Path) -> None:
    programs = tmp_path / "open" / "pginstall"
    for name in ("bin", "lib"):
        (programs / name).mkdir(parents=True)
    (programs / "bin" / "postgres").touch(mode=0o755)
    assert installation._open_to_all(programs) == all(each.stat().st_mode & 1 for each in tmp_path.parents)
    (tmp_path / "open").chmod(0o700)
    assert not installation._open_to_all(programs)
