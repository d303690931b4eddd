"""Run a simulator until it is told to end: `python -m deploy.local.kubernetes_simulated --port 8001 --directory D`.

The kubeconfig is written into the directory; one that is there already says which token to accept.
"""

import argparse
import asyncio
import signal
from pathlib import Path

from deploy.local.kubernetes.cluster import read_token
from deploy.local.kubernetes_simulated.simulator import KUBECONFIG, Simulator


async def run(port: int, directory: Path, token: str | None) -> None:
    """Serve until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Simulator(directory, port=port, token=token) as simulator:
        print(
            f"Simulated Kubernetes API at {simulator.cluster.url}, kubeconfig {simulator.cluster.kubeconfig}",
            flush=True,
        )
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="A simulated Kubernetes API server.")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--directory", type=Path, default=Path())
    arguments = parser.parse_args()
    asyncio.run(run(arguments.port, arguments.directory, read_token(arguments.directory / KUBECONFIG)))


if __name__ == "__main__":
    main()
