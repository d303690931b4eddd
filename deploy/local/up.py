"""Start the parts of the stand, print how to reach each, and keep them until told to end.

What runs on them is not started here.
"""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from rich.console import Console

from deploy.local.errors import StandError
from deploy.local.stack import Stack, stack


async def up(kafka: str, kubernetes: str) -> None:
    console = Console(highlight=False)
    console.print("Starting the parts …")
    async with stack(kafka=kafka, kubernetes=kubernetes) as parts:
        for line in addresses(parts):
            console.print(line, soft_wrap=True)
        console.print("Everything runs. Ctrl-C ends it and leaves nothing behind.")
        await asyncio.Event().wait()


def addresses(parts: Stack) -> list[str]:
    """How to reach each part, a line each."""
    s3 = parts.s3
    rows = (
        ("Kafka", parts.kafka.kind, parts.kafka.bootstrap_servers),
        ("Postgres", "real", parts.postgres.dsn("postgres")),
        ("Kubernetes", parts.cluster.kind, f"KUBECONFIG={parts.cluster.kubeconfig}"),
        ("S3", "moto", f"{s3.endpoint_url}  key {s3.access_key}, secret {s3.secret_key}, region {s3.region}"),
        ("logs", "", f"{parts.work.directory}/*.log"),
    )
    return [f"  {name:<11} {kind:<10} {where}" for name, kind, where in rows]


def run(work: Coroutine[Any, Any, None]) -> int:
    """Run to the end or until Ctrl-C, SIGTERM or SIGHUP; all three end the parts in order. The exit code."""
    try:
        asyncio.run(_cancelled_by_signals(work))
    except StandError as error:
        print(error, file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        return 130
    return 0


async def _cancelled_by_signals(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await task
