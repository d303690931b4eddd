"""Reads from a pod's object whether its processes have ended. Pure.

A pod that vanishes proves nothing: the kubelet may still be stopping its containers, or may never have heard of the
deletion. Only the kubelet's report of each container does. `watch.py` and `jobs.py` use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from evaluation_cancel.consumer.domain.cancellations import ContainerEnd, Doubt
from evaluation_cancel.consumer.domain.evaluations import EVALUATION_LABEL
from evaluation_cancel.consumer.kubernetes.port import Pod

_STATUSES: Final = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
_CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")
_ENDED: Final = ("Succeeded", "Failed")
_MOST_CONTAINERS: Final = 8
_MOST_EXIT_CODE: Final = 2**31 - 1


def parse_pod(item: dict[str, Any], label: str = EVALUATION_LABEL) -> Pod:
    """Keep the few fields that matter of an object that can be a megabyte."""
    metadata, spec = item["metadata"], item.get("spec") or {}
    owner = next((o for o in metadata.get("ownerReferences") or () if o.get("controller")), None)
    stopped = _has_stopped(item)
    deleted = metadata.get("deletionTimestamp")
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        evaluation_id=(metadata.get("labels") or {}).get(label),
        owner=None if owner is None else f"{owner.get('kind')}/{owner.get('name')}",
        owner_uid=None if owner is None else str(owner["uid"]),
        node=spec.get("nodeName"),
        terminating_since=datetime.fromisoformat(deleted) if deleted else None,
        finalizers=tuple(metadata.get("finalizers") or ()),
        containers=tuple(_ends(item.get("status") or {}))[:_MOST_CONTAINERS],
        stopped=stopped,
        doubt=None if stopped else _doubt(item),
    )


def _has_stopped(item: dict[str, Any]) -> bool:
    spec, status = item.get("spec") or {}, item.get("status") or {}
    if "spec" in item and not spec.get("nodeName"):
        return True  # no kubelet ever had it
    reported = {each["name"]: each for kind in _STATUSES for each in status.get(kind) or ()}
    expected = {each["name"] for kind in _CONTAINERS for each in spec.get(kind) or ()}
    if not reported or not expected <= reported.keys():
        return False
    waits = [each for each in reported.values() if not _terminated(each)]
    return not waits or (_kubelet_ended(status) and all(_never_started(each) for each in waits))


def _terminated(container: dict[str, Any]) -> bool:
    return bool((container.get("state") or {}).get("terminated"))


def _never_started(container: dict[str, Any]) -> bool:
    """A container behind an init container that did not end well. One that waits for its restart has an id."""
    return "waiting" in (container.get("state") or {}) and not container.get("containerID")


def _kubelet_ended(status: dict[str, Any]) -> bool:
    """The kubelet wrote the pod's last phase. The pod garbage collector writes it too, but leaves a condition."""
    return status.get("phase") in _ENDED and not _collected(status)


def _collected(status: dict[str, Any]) -> bool:
    return any(
        each.get("type") == "DisruptionTarget" and each.get("reason") == "DeletionByPodGC"
        for each in status.get("conditions") or ()
    )


def _doubt(item: dict[str, Any]) -> Doubt:
    if (item.get("spec") or {}).get("terminationGracePeriodSeconds") == 0:
        return "grace_zero"
    if _collected(item.get("status") or {}):
        return "node_gone"
    return "forced" if item["metadata"].get("deletionGracePeriodSeconds") == 0 else "not_seen"


def _ends(status: dict[str, Any]) -> Iterator[ContainerEnd]:
    for kind in _STATUSES:
        for each in status.get(kind) or ():
            if _terminated(each):
                ended = each["state"]["terminated"]
                code = max(-_MOST_EXIT_CODE, min(int(ended.get("exitCode") or 0), _MOST_EXIT_CODE))
                yield ContainerEnd(name=each["name"], exit_code=code, reason=ended.get("reason"))
