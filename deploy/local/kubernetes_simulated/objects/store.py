"""Every object with its history: what etcd and the watch cache are to the real server.

It knows nothing of what an object means. Stored objects are never changed in place: a new version replaces them,
so lists, watches and snapshots may share them without copying.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from deploy.local.kubernetes_simulated.objects.resources import Object, Resource

ChangeKind = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One step of history. `object` is the state after it; of a removed object, its last state."""

    version: int
    kind: ChangeKind
    resource: Resource
    object: Object
    previous: Object | None


def key_of(obj: Object) -> tuple[str, str]:
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def owner_uids(obj: Object | None) -> list[str]:
    if obj is None:
        return []
    return [owner["uid"] for owner in obj["metadata"].get("ownerReferences", ())]


class Store:
    """Objects by resource, namespace and name; a number that grows with every change; the changes themselves."""

    def __init__(self, *, history: int = 100_000) -> None:
        self.version = 1000
        self._oldest = self.version
        self._changes: deque[Change] = deque()
        self._history = history
        self._objects: dict[Resource, dict[str, dict[str, Object]]] = {}
        self._by_uid: dict[str, tuple[Resource, Object]] = {}
        self._dependents: dict[str, dict[str, None]] = {}
        self._subscribers: list[Callable[[Change], None]] = []

    def subscribe(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Call `callback` with every later change, in order; returns how to stop that."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self._objects.get(resource, {}).get(namespace, {}).get(name)

    def by_uid(self, uid: str) -> tuple[Resource, Object] | None:
        return self._by_uid.get(uid)

    def dependents(self, uid: str) -> list[tuple[Resource, Object]]:
        """Objects that name this uid among their owners, oldest first."""
        return [self._by_uid[each] for each in self._dependents.get(uid, ())]

    def items(self, resource: Resource, namespace: str = "") -> list[Object]:
        """All of one kind, in one namespace or in all, by namespace and name."""
        spaces = self._objects.get(resource, {})
        if namespace or not resource.namespaced:
            chosen = [spaces.get(namespace, {})]
        else:
            chosen = [spaces[each] for each in sorted(spaces)]
        return list(itertools.chain.from_iterable((s[name] for name in sorted(s)) for s in chosen))

    def add(self, resource: Resource, obj: Object) -> Object:
        return self._record("ADDED", resource, obj, None)

    def replace(self, resource: Resource, obj: Object) -> Object:
        """Store a new state of an object that exists; an unchanged one keeps its version, as in the real server."""
        previous = self._by_uid[obj["metadata"]["uid"]][1]
        if obj == previous:
            return previous
        return self._record("MODIFIED", resource, obj, previous)

    def remove(self, resource: Resource, obj: Object) -> Object:
        return self._record("DELETED", resource, obj, self._by_uid[obj["metadata"]["uid"]][1])

    def remembers(self, version: int) -> bool:
        """Whether every change after `version` is still known."""
        return version >= self._oldest

    def changes_after(self, version: int) -> Iterator[Change]:
        """Later changes, oldest first; the caller has asked `remembers`."""
        newer = itertools.takewhile(lambda change: change.version > version, reversed(self._changes))
        return reversed(list(newer))

    def changes_of(self, resource: Resource, version: int) -> Iterator[Change]:
        return (change for change in self.changes_after(version) if change.resource is resource)

    def snapshot(self, resource: Resource, namespace: str, version: int) -> list[Object]:
        """What `items` was at `version`: the present with the later changes undone."""
        present = {key_of(obj): obj for obj in self.items(resource, namespace)}
        for change in reversed(list(self.changes_after(version))):
            key = key_of(change.object)
            if change.resource is not resource or (namespace and key[0] != namespace):
                continue
            if change.previous is None:
                present.pop(key, None)
            else:
                present[key] = change.previous
        return [present[key] for key in sorted(present)]

    def compact(self) -> None:
        """Forget all history: older watches and continued lists get 410."""
        self._changes.clear()
        self._oldest = self.version

    def _record(self, kind: ChangeKind, resource: Resource, obj: Object, previous: Object | None) -> Object:
        self.version += 1
        obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}
        self._index(kind, resource, obj, previous)
        change = Change(version=self.version, kind=kind, resource=resource, object=obj, previous=previous)
        self._changes.append(change)
        if len(self._changes) > self._history:
            self._oldest = self._changes.popleft().version
        for subscriber in tuple(self._subscribers):
            subscriber(change)
        return obj

    def _index(self, kind: ChangeKind, resource: Resource, obj: Object, previous: Object | None) -> None:
        namespace, name = key_of(obj)
        uid = obj["metadata"]["uid"]
        space = self._objects.setdefault(resource, {}).setdefault(namespace, {})
        for owner in owner_uids(previous):
            self._dependents[owner].pop(uid, None)
            if not self._dependents[owner]:
                del self._dependents[owner]
        if kind == "DELETED":
            del space[name], self._by_uid[uid]
            if not space:
                del self._objects[resource][namespace]
            return
        space[name] = obj
        self._by_uid[uid] = (resource, obj)
        for owner in owner_uids(obj):
            self._dependents.setdefault(owner, {})[uid] = None
