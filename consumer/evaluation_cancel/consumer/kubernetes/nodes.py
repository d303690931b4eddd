"""Reads whether a node's kubelet reports, at most once in a while for each node.

Thousands of stuck pods may be on one node. The right to read nodes is optional, so a refusal is remembered as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from evaluation_cancel.consumer.domain.cancellations import NodeState
from evaluation_cancel.consumer.domain.errors import CancellationError, Refusal
from evaluation_cancel.consumer.kubernetes.client import KubernetesCalls

_NODE: Final = "/api/v1/nodes/{name}"
_KEPT: Final = 10.0
"""Seconds for which an answer is used again."""
_REFUSAL_KEPT: Final = 300.0
"""Seconds until a missing right is tried again."""
_MOST_KEPT: Final = 1000


class NodeStates:
    """The nodes of one cluster."""

    def __init__(self, calls: KubernetesCalls, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._calls = calls
        self._clock = clock
        self._kept: dict[str, tuple[float, NodeState | None]] = {}
        self._refused_until = 0.0

    async def state(self, name: str) -> NodeState | None:
        """The node's state; None if it cannot be read now."""
        now = self._clock()
        until, kept = self._kept.get(name, (0.0, None))
        if now < until or now < self._refused_until:
            return kept
        found: NodeState | None = None
        try:
            found = await self._read(name)
        except Refusal:
            self._refused_until = now + _REFUSAL_KEPT
        except CancellationError:
            pass  # it says nothing of the node; asked again later
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[name] = (now + _KEPT, found)
        return found

    async def _read(self, name: str) -> NodeState | None:
        answer = await self._calls.call("GET", _NODE, names={"name": name})
        document = answer.json()
        if answer.status == 404:  # noqa: PLR2004
            return "gone" if document.get("reason") == "NotFound" else None
        return "ready" if _is_ready(document) else "not_ready"


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)
