"""PgBouncer in transaction mode before a Postgres of the stand, where the distribution has it."""

import os
import pwd
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.processes.part import Part
from deploy.local.processes.ports import LOOPBACK, free_port, is_open
from deploy.local.processes.process import Workspace
from deploy.local.services.postgres import unprivileged_account

_SETTINGS = """[databases]
* = host={host} port={server_port}
[pgbouncer]
listen_addr = {listen}
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = 5
"""


def pgbouncer_program() -> str | None:
    """Its path, if it is installed."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@dataclass(kw_only=True, eq=False, repr=False)
class PgBouncer(Part):
    program: str
    settings: Path
    port: int
    server_dsn: str

    def dsn(self, database: str) -> str:
        """The address of the server's database by way of the pooler."""
        server = urlsplit(self.server_dsn)
        return f"postgresql://{server.username}:{server.password}@{LOOPBACK}:{self.port}/{database}"

    def command(self) -> list[str | Path]:
        return [self.program, self.settings]

    async def answers(self) -> bool:
        return await is_open(self.port)


@asynccontextmanager
async def pgbouncer(work: Workspace, program: str, server_dsn: str) -> AsyncIterator[PgBouncer]:
    """A started pooler before the server of this DSN, for the DSN's user, and none at the end."""
    server, account = urlsplit(server_dsn), unprivileged_account()
    home = work.directory / "pgbouncer"
    home.mkdir()
    settings, users, port = home / "pgbouncer.ini", home / "users.txt", free_port()
    users.write_text(f'"{server.username}" "{server.password}"\n')
    values = {"host": server.hostname, "server_port": server.port, "listen": LOOPBACK, "port": port, "users": users}
    settings.write_text(_SETTINGS.format(**values))
    for path in (home, settings, users):
        if account is not None:
            os.chown(path, pwd.getpwnam(account).pw_uid, pwd.getpwnam(account).pw_gid)
    part = PgBouncer(
        work=work,
        name="pgbouncer",
        account=account,
        program=program,
        settings=settings,
        port=port,
        server_dsn=server_dsn,
    )
    try:
        await part.start()
        yield part
    finally:
        if part.child is not None:
            part.kill()
