"""CPU seconds and peak memory of each part while a contestant runs, read from the operating system."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    cpu_seconds: float
    peak_bytes: int
    """Of its largest process since that began; shared memory counts in it."""


class Meter:
    """Counts from its making on. A part is a process and its descendants, those that have ended included."""

    def __init__(self, parts: Mapping[str, int]) -> None:
        self._parts = {name: psutil.Process(pid) for name, pid in parts.items()}
        self._begun = {name: _cpu(process) for name, process in self._parts.items()}
        self._machine = _busy()

    def read(self) -> dict[str, Usage]:
        """Of each part, and as `others` what the rest of the machine took, the bench itself included."""
        used = {
            name: Usage(cpu_seconds=_cpu(process) - self._begun[name], peak_bytes=_peak(process))
            for name, process in self._parts.items()
        }
        rest = _busy() - self._machine - sum(u.cpu_seconds for u in used.values())
        return {**used, "others": Usage(cpu_seconds=max(0.0, rest), peak_bytes=0)}


def _busy() -> float:
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)


def _cpu(process: psutil.Process) -> float:
    # Children that were waited for are in their parent's account; those that live are in their own.
    total = 0.0
    for member in _family(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = member.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def _peak(process: psutil.Process) -> int:
    peak = 0
    for member in _family(process):
        with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            peak = max(peak, _peak_of_one(member))
    return peak


def _peak_of_one(process: psutil.Process) -> int:
    if not psutil.LINUX:
        return int(process.memory_info().rss)
    status = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    return 1024 * int(status.get("VmHWM", "0").split()[0])


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]
