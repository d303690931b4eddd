"""The kubelet of every node: pods start, complete or go on running, and end when they are deleted.

A pod's label `stand.evaluation-cancel/pod` says how it behaves: `runs` (or no label), `completes`, `fails`, `stuck`
(hangs in Terminating until it is deleted with a grace period of 0) or `pending` (never starts). Its annotation
`stand.evaluation-cancel/ends-after` says how many seconds it takes to end after its deletion. A pod that names no
node of the cluster belongs to no kubelet and stays Pending, for there is no scheduler.
"""

import asyncio
from collections.abc import Callable

from deploy.local.kubernetes_simulated.objects import clock
from deploy.local.kubernetes_simulated.objects.deletion import DeleteOptions, delete
from deploy.local.kubernetes_simulated.objects.resources import NODES, PODS, Object
from deploy.local.kubernetes_simulated.objects.store import Change, Store

BEHAVIOUR = "stand.evaluation-cancel/pod"
_ENDED = ("Succeeded", "Failed")
ENDS_AFTER = "stand.evaluation-cancel/ends-after"


class Kubelet:
    """Acts on each pod by timers; while paused it does nothing, and afterwards what was due."""

    def __init__(self, store: Store) -> None:
        self.ends_after = 0.0
        """Seconds a pod without the annotation takes to end."""
        self.paused = False
        self._store = store
        self._held: list[Callable[[], None]] = []
        self._ending: set[str] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        store.subscribe(self._observe)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        held, self._held = self._held, []
        for action in held:
            action()

    def stop(self) -> None:
        for timer in self._timers:
            timer.cancel()

    def _observe(self, change: Change) -> None:
        if change.resource is not PODS or not self._has_node(change.object):
            return
        pod, uid = change.object, change.object["metadata"]["uid"]
        if change.kind == "DELETED":
            self._ending.discard(uid)
        elif "deletionTimestamp" in pod["metadata"]:
            if uid not in self._ending and _behaviour(pod) != "stuck":
                self._ending.add(uid)
                self._after(self._time_to_end(pod), lambda: self._end(uid))
        elif change.kind == "ADDED" and _behaviour(pod) != "pending":
            self._after(0, lambda: self._run(uid))

    def _has_node(self, pod: Object) -> bool:
        node = pod["spec"].get("nodeName")
        return bool(node) and self._store.get(NODES, "", node) is not None

    def _time_to_end(self, pod: Object) -> float:
        return float((pod["metadata"].get("annotations") or {}).get(ENDS_AFTER, self.ends_after))

    def _after(self, delay: float, action: Callable[[], None]) -> None:
        def fire() -> None:
            self._timers.discard(timer)
            if self.paused:
                self._held.append(action)
            else:
                action()

        timer = asyncio.get_running_loop().call_later(delay, fire)
        self._timers.add(timer)

    def _run(self, uid: str) -> None:
        found = self._store.by_uid(uid)
        if found is None or "deletionTimestamp" in found[1]["metadata"]:
            return
        self._store.replace(PODS, {**found[1], "status": _status("Running", found[1])})
        phase = {"completes": "Succeeded", "fails": "Failed"}.get(_behaviour(found[1]))
        if phase is not None:
            self._after(0, lambda: self._finish(uid, phase))

    def _finish(self, uid: str, phase: str) -> None:
        found = self._store.by_uid(uid)
        if found is not None:
            self._store.replace(PODS, {**found[1], "status": _status(phase, found[1])})

    def _end(self, uid: str) -> None:
        found = self._store.by_uid(uid)
        if found is not None and found[1]["status"]["phase"] not in _ENDED:
            # The report of its containers comes before the pod's object goes, as that of a real kubelet does.
            self._store.replace(PODS, {**found[1], "status": _status("Failed", found[1])})
            found = self._store.by_uid(uid)
        if found is not None:
            delete(self._store, PODS, found[1], DeleteOptions(grace=0, uid=uid))


def _behaviour(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get(BEHAVIOUR, "runs"))


def _status(phase: str, pod: Object) -> Object:
    moment = clock.now()
    ready = str(phase == "Running")
    kinds = {"PodScheduled": "True", "Initialized": "True", "ContainersReady": ready, "Ready": ready}
    state: Object = {"running": {"startedAt": moment}}
    if phase != "Running":
        reason, code = ("Completed", 0) if phase == "Succeeded" else ("Error", 1)
        state = {"terminated": {"exitCode": code, "reason": reason, "startedAt": moment, "finishedAt": moment}}
    containers = [
        {"name": each["name"], "image": each.get("image", ""), "ready": phase == "Running", "restartCount": 0}
        | {"state": state, "lastState": {}, "imageID": "", "started": phase == "Running"}
        for each in pod["spec"]["containers"]
    ]
    conditions = [
        {"type": kind, "status": value, "lastProbeTime": None, "lastTransitionTime": moment}
        for kind, value in kinds.items()
    ]
    return {
        **pod["status"],
        "phase": phase,
        "conditions": conditions,
        "containerStatuses": containers,
        "startTime": pod["status"].get("startTime", moment),
    }
