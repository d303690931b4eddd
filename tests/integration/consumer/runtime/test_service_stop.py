"""The whole service told to stop while its cluster hangs: what it held is due for others at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import SecretStr

from evaluation_cancel.consumer.app import service
from evaluation_cancel.consumer.settings import ClusterSettings, ConsumerSettings
from tests.support.consumer.commands import command
from tests.support.consumer.postgres_env import PostgresEnv
from tests.support.waiting import until

HELD = "claimed_by = 'stopping' AND ended_at IS NULL"
DUE = "claimed_by IS NULL AND ended_at IS NULL AND next_attempt_at <= now()"
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: hangs
clusters: [{{name: hangs, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
contexts: [{{name: hangs, context: {{cluster: hangs, user: us}}}}]
users: [{{name: us, user: {{token: t}}}}]
"""


@asynccontextmanager
async def api_server_that_hangs(directory: Path) -> AsyncIterator[Path]:
    """Takes every connection and never answers; gives a kubeconfig."""
    writers: list[asyncio.StreamWriter] = []

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await asyncio.Event().wait()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG.format(port=server.sockets[0].getsockname()[1]))
    try:
        yield kubeconfig
    finally:
        server.close()
        for writer in writers:
            writer.close()


async def test_a_stop_that_is_cut_short_gives_its_claims_back(postgres_env: PostgresEnv, tmp_path: Path) -> None:
    for _ in range(5):
        await postgres_env.send(command(await postgres_env.evaluation(cluster="c1")))
    async with api_server_that_hangs(tmp_path) as kubeconfig:
        settings = ConsumerSettings(
            postgres_dsn=SecretStr(postgres_env.dsn),
            clusters={"c1": ClusterSettings(kubeconfig=kubeconfig)},
            teardown_lease=600,
            call_timeout=60,
            stop_timeout=0.3,
            worker="stopping",
            http_host="127.0.0.1",
            http_port=0,
        )
        async with service(settings, ["teardown"]):
            await until(lambda: postgres_env.count_is("cancellations", 5, HELD), "it holds them")
    assert await postgres_env.count("cancellations", DUE) == 5
    assert len(await postgres_env.claim()) == 5
