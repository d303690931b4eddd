"""What a machine must have to run a kubelet: root, and a few programs of the distribution."""

import os
import shutil
import sys
from pathlib import Path

from deploy.local.errors import StandError

CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
_PLUGINS = ("ptp", "host-local", "loopback")
_PROGRAMS = {"containerd": "containerd", "ctr": "containerd", "runc": "runc", "busybox": "busybox-static"}
"""Each program with Debian's package."""


def check_tools() -> Path:
    """The folder of the CNI plugins. Raises `StandError` with everything that is missing."""
    missing = [] if sys.platform == "linux" else ["Linux"]
    if os.name == "posix" and os.geteuid() != 0:
        missing.append("root, because containers need it")
    missing += [f"{name} (Debian: {package})" for name, package in _PROGRAMS.items() if shutil.which(name) is None]
    plugins = next((each for each in CNI_FOLDERS if all((each / name).exists() for name in _PLUGINS)), None)
    if plugins is None:
        missing.append("the CNI plugins (Debian: containernetworking-plugins)")
    if plugins is None or missing:
        raise StandError("no_kubelet_here", f"a real kubelet needs what this machine lacks: {'; '.join(missing)}")
    return plugins
