"""Faults on order: the next so many requests that match are answered wrongly, late, or not at all.

A fault is added through `Faults.answer`, `cut` or `delay` and says which requests it means; the newest that matches
a request is used. `server` asks for it and acts on it.
"""

import fnmatch
from dataclasses import dataclass, field
from typing import Literal

from deploy.local.kubernetes_simulated.apiserver.request_info import RequestInfo

Action = Literal["answer", "cut_before", "cut_after", "delay"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Which:
    """The requests a fault means; patterns as in file names."""

    verb: str = "*"
    resource: str = "*"
    namespace: str = "*"
    name: str = "*"
    user: str = "*"

    def covers(self, info: RequestInfo, user: str) -> bool:
        pairs = (
            (info.verb, self.verb),
            (info.full_resource, self.resource),
            (info.namespace, self.namespace),
            (info.name, self.name),
            (user, self.user),
        )
        return all(fnmatch.fnmatchcase(value, pattern) for value, pattern in pairs)


@dataclass(kw_only=True, slots=True, eq=False)
class Fault:
    """One fault on order. `hits` counts how often it struck."""

    action: Action
    which: Which
    times: int | None
    status: int = 0
    retry_after: int | None = None
    seconds: float = 0.0
    hits: int = 0

    @property
    def spent(self) -> bool:
        return self.times is not None and self.hits >= self.times


@dataclass(kw_only=True, slots=True, eq=False)
class Faults:
    """`times=None` means until `clear` or `remove`."""

    _ordered: list[Fault] = field(default_factory=list)

    def answer(
        self, status: int, which: Which | None = None, *, times: int | None = 1, retry_after: int | None = None
    ) -> Fault:
        """Answer with this status instead of performing; 429 in plain text, the others as a Status."""
        return self.add(
            Fault(action="answer", which=which or Which(), times=times, status=status, retry_after=retry_after)
        )

    def cut(self, which: Which | None = None, *, times: int | None = 1, performed: bool = False) -> Fault:
        """Cut the connection without an answer, before performing the request or after.

        aiohttp, and so kubernetes_asyncio, repeats a cut GET, PUT or DELETE once by itself: for one failure that a
        caller sees, cut twice.
        """
        action: Action = "cut_after" if performed else "cut_before"
        return self.add(Fault(action=action, which=which or Which(), times=times))

    def delay(self, seconds: float, which: Which | None = None, *, times: int | None = 1) -> Fault:
        """Perform the request only after `seconds`, even if the client has given up by then."""
        return self.add(Fault(action="delay", which=which or Which(), times=times, seconds=seconds))

    def remove(self, fault: Fault) -> None:
        self._ordered.remove(fault)

    def clear(self) -> None:
        self._ordered.clear()

    def take(self, info: RequestInfo, user: str) -> Fault | None:
        """The fault that strikes this request, counted."""
        for fault in reversed(self._ordered):
            if not fault.spent and fault.which.covers(info, user):
                fault.hits += 1
                return fault
        return None

    def add(self, fault: Fault) -> Fault:
        self._ordered.append(fault)
        return fault
