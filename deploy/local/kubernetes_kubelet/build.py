"""Build kubelet and scheduler once, as one binary, beside the one of `kubernetes_real/build.py`."""

from pathlib import Path

from deploy.local.kubernetes_real.build import go_binary

_MODULE = Path(__file__).parent / "go"


async def node_binary() -> Path:
    """The path of the binary, from the cache if it is there."""
    return await go_binary("kubernetes-node", _MODULE, "Building kubelet and scheduler, once: this takes 2-3 minutes.")
