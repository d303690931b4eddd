"""What a machine must have to run a kubelet: root, cgroups, and a few programs of the distribution."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from deploy.local.errors import StandError

CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
_PLUGINS = ("ptp", "host-local", "loopback")
_PROGRAMS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "busybox": "busybox-static",
    "unshare": "util-linux",
    "nsenter": "util-linux",
}
"""Each program with Debian's package."""
CGROUPS = Path("/sys/fs/cgroup")
_LOADERS = (b"/ld-linux", b"/ld-musl")


def check_tools(
    *,
    which: Callable[[str], str | None] = shutil.which,
    folders: tuple[Path, ...] = CNI_FOLDERS,
    cgroups: Path = CGROUPS,
) -> Path:
    """The folder of the CNI plugins. Raises `StandError` with everything that is missing."""
    missing = [] if sys.platform == "linux" else ["Linux"]
    if os.name == "posix" and os.geteuid() != 0:
        missing.append("root, because containers need it")
    if not os.access(cgroups, os.W_OK):
        missing.append(f"cgroups that can be written, at {cgroups}")
    missing += [f"{name} (Debian: {package})" for name, package in _PROGRAMS.items() if which(name) is None]
    busybox = which("busybox")
    if busybox is not None and not _is_static(Path(busybox)):
        missing.append(f"a busybox without shared libraries, which {busybox} needs (Debian: busybox-static)")
    plugins = next((each for each in folders if all((each / name).exists() for name in _PLUGINS)), None)
    if plugins is None:
        missing.append("the CNI plugins (Debian: containernetworking-plugins)")
    if plugins is None or missing:
        raise StandError("no_kubelet_here", f"a real kubelet needs what this machine lacks: {'; '.join(missing)}")
    return plugins


def _is_static(program: Path) -> bool:
    """Whether it names no loader of shared libraries, which an ELF file does in its first page."""
    with program.open("rb") as file:
        head = file.read(4096)
    return not any(loader in head for loader in _LOADERS)
