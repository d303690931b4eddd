"""Start the whole system, print how to reach each part and what to try, and keep it running until told to end."""

import asyncio
import shutil
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from rich.console import Console

from deploy.local.errors import StandError
from deploy.local.play.orchestrator import Evaluation, orchestrator
from deploy.local.play.places import Places, write_environment
from deploy.local.stand.stack import Stack, stack
from deploy.local.stand.system import System, system
from evaluation_cancel.schemas.settings.environment import ENVIRONMENT_PREFIX

TEAM = "blue"


async def up(kafka: str, kubernetes: str) -> None:
    console = Console(highlight=False)
    console.print("Starting the parts …")
    async with stack(kafka=kafka, kubernetes=kubernetes) as parts:
        for line in addresses(parts):
            console.print(line, soft_wrap=True)
        async with system(parts) as running:
            for line in [*processes(running), "", *await to_try(running), ""]:
                console.print(line, soft_wrap=True, markup=False)
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


def processes(running: System) -> list[str]:
    """Where the service's own processes serve."""
    lines = [f"  {each.name:<22} {each.url}/healthz /readyz /metrics" for each in running.consumers.values()]
    lines += [f"  {'HTTP endpoint':<22} {each.url}/v1/… /healthz /readyz /metrics" for each in running.endpoints]
    return [*lines, f"  {'tokens for it':<22} {running.tokens.issuer}/token?user=ada&team={TEAM}"]


async def to_try(running: System) -> list[str]:
    """Commands for another shell, on evaluations that were made for it; each works as it is printed."""
    environment = running.stack.work.directory / "environment.sh"
    write_environment(running, environment, {f"{ENVIRONMENT_PREFIX}TEAM": TEAM})
    async with orchestrator(Places.of(running)) as team:
        quick, _ = await team.run(await team.register(TEAM), pods=2)
        await team.write_artifacts(quick, 20)
        slow, _ = await team.run(await team.register(TEAM), pods=2, ends_after=10)
        asked, _ = await team.run(await team.register(TEAM))
    return [
        "In another shell, first the settings and the path:",
        "",
        f"  . {environment}",
        "",
        "then, for example (the first evaluation runs, the second's pods take 10 s to end):",
        "",
        f"  cancel-producer cancel --wait --cleanup {quick.id}",
        f"  cancel-consumer status {quick.id}",
        f"  cancel-producer cancel --wait --reason 'costs too much' {slow.id}",
        "  cancel-consumer stuck --older-than 0",
        "  python -m deploy.local evaluation --pods 3",
        "  python -m deploy.local events",
        *(f"  {line}" for line in _with_other_programs(running, asked)),
    ]


def _with_other_programs(running: System, asked: Evaluation) -> list[str]:
    """With those that are there."""
    lines = []
    # kubectl sends no token over plain HTTP, which is all that the simulated API server speaks.
    if shutil.which("kubectl") and running.stack.cluster.kind != "simulated":
        lines.append(f"kubectl get jobs,pods --namespace {running.namespace}")
    if shutil.which("curl"):
        consumer = next(iter(running.consumers.values()))
        lines.append(f"{_curl(running)} -X POST {running.endpoints[0].url}/v1/evaluations/{asked.id}/cancel")
        lines.append(f"curl --silent {consumer.url}/metrics")
    return lines


def _curl(running: System) -> str:
    """With a token in its header."""
    token = f"$(curl --silent '{running.tokens.issuer}/token?user=ada&team={TEAM}')"
    return f'curl --silent --show-error -H "Authorization: Bearer {token}"'


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
