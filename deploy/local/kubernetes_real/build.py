"""Build the real Kubernetes API once: etcd, kube-apiserver, controller manager and KWOK in one binary.

The first build downloads about 100 MB of Go modules and takes 5-7 minutes on two cores; after that the binary comes
from the cache, under a name made from everything that went into it. How it is run is in `cluster.py`.
"""

import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.local.errors import StandError
from deploy.local.processes.cache import kept
from deploy.local.processes.process import Workspace, workspace

KUBERNETES_VERSION = "v1.36.3"
BINARY = "kubernetes"
NEEDED_GO = (1, 26)
BUILD_LIMIT = 40 * 60.0
"""Seconds, for a slow machine with a cold module cache."""

_MODULE = Path(__file__).parent / "go"
_MAJOR, _MINOR = KUBERNETES_VERSION.removeprefix("v").split(".")[:2]
_VERSION = "k8s.io/component-base/version"
_STAMPS = (("gitVersion", KUBERNETES_VERSION), ("gitMajor", _MAJOR), ("gitMinor", _MINOR))
_FLAGS = ("-trimpath", "-ldflags", " ".join(["-s -w", *(f"-X {_VERSION}.{name}={value}" for name, value in _STAMPS)]))


async def kubernetes_binary() -> Path:
    """The path of the binary, from the cache if it is there."""
    return await go_binary(BINARY, _MODULE, "Building the real Kubernetes API, once: this takes 5-7 minutes.")


async def go_binary(name: str, module: Path, announced: str) -> Path:
    """The path of the binary of a Go module of Kubernetes' version, from the cache if it is there."""
    sources = [(module / each).read_bytes() for each in ("go.mod", "go.sum", "main.go")]

    async def build(into: Path) -> None:
        go = _go()
        print(announced, file=sys.stderr, flush=True)
        async with workspace() as work:
            await _run_go(work, go, module, into / name)

    entry = await kept(name, *sources, *_FLAGS, sys.platform, platform.machine(), make=build)
    return entry / name


async def _run_go(work: Workspace, go: str, module: Path, binary: Path) -> None:
    await work.run(
        "go build",
        # A stand that is built in the background must not slow down what people wait for.
        ["nice", "-n", "10", go, "build", *_FLAGS, "-o", binary, "."],
        limit=BUILD_LIMIT,
        cwd=module,
        environment={"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false"},
    )


def _go() -> str:
    go = shutil.which("go")
    need = ".".join(map(str, NEEDED_GO))
    if go is None:
        raise StandError(
            "go_missing", f"the real Kubernetes API is built with Go {need} or newer, and there is no `go` here"
        )
    told = subprocess.run([go, "env", "GOVERSION"], cwd=_MODULE, capture_output=True, text=True, check=False).stdout
    found = re.match(r"go(\d+)\.(\d+)", told)
    # An older Go may fetch a newer one by itself, unless it is told not to; `go env` answers after that choice.
    if found is not None and (int(found[1]), int(found[2])) < NEEDED_GO:
        raise StandError("go_too_old", f"the real Kubernetes API needs Go {need} or newer, this is {told.strip()}")
    return go
