"""Remove what a stand leaves when it was killed and could not tidy up itself.

Run as a script by `process.py`, never imported: `sweeper.py DIRECTORY`. On its standard input it is told the process
groups of the stand, `+123` when one starts and `-123` when one has ended. The end of the input means that the stand is
gone, in whatever way: then it kills the groups that are left after a moment, and removes the directory and the cgroups
that have its name.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

GRACE = 2.0
"""Seconds for programs that the kernel has asked to end to do so in their own way."""
CGROUPS = Path("/sys/fs/cgroup")
PATIENCE = 10.0
"""Seconds: programs that are being killed may still write into the directory."""


def main() -> None:
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        started, group = line.startswith("+"), int(line[1:])
        (groups.add if started else groups.discard)(group)
    end(groups)
    remove(sys.argv[1])
    remove_cgroups(Path(sys.argv[1]).name)


def end(groups: set[int]) -> None:
    deadline = time.monotonic() + GRACE
    while any(map(exists, groups)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def remove(directory: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while os.path.lexists(directory) and time.monotonic() < deadline:
        shutil.rmtree(directory, ignore_errors=True)
        time.sleep(0.05)


def remove_cgroups(name: str) -> None:
    """Remove the cgroups of this name, in each hierarchy, once no process is in them."""
    deadline = time.monotonic() + PATIENCE
    while (found := [*CGROUPS.glob(name), *CGROUPS.glob(f"*/{name}")]) and time.monotonic() < deadline:
        for top in found:
            for folder, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
        time.sleep(0.05)


if __name__ == "__main__":
    main()
