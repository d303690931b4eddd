"""The System V shared memory segments of this machine, which a Postgres that is not stopped leaves behind."""

from pathlib import Path

import psutil


def shared_memory() -> set[str]:
    """The ids of all segments."""
    return {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]}


def made_by(processes: list[psutil.Process]) -> set[str]:
    """The ids of the segments that these processes created."""
    pids = {str(process.pid) for process in processes}
    lines = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
    return {line[1] for line in lines if line[4] in pids}
