"""The garbage collector and the namespace controller: what follows a DELETE, later and step by step.

Foreground: dependents that block their owner are deleted, then the owner's finalizer goes. Orphan: dependents lose
their owner. Background: dependents whose owners are all absent are deleted. `blind_to_younger_than` makes it
overlook fresh dependents, so that a Job vanishes while a pod of its is still listed, as was seen on a real server.
"""

import time

from deploy.local.kubernetes_simulated.controllers.workqueue import WorkQueue
from deploy.local.kubernetes_simulated.objects.deletion import (
    FOREGROUND,
    ORPHAN,
    DeleteOptions,
    delete,
    settle,
    without_finalizer,
)
from deploy.local.kubernetes_simulated.objects.resources import BY_KIND, NAMESPACES, RESOURCES, Object, Resource
from deploy.local.kubernetes_simulated.objects.store import Change, Store, owner_uids


class GarbageCollector:
    """One queue of uids, each looked at whenever it or something that depends on it changed."""

    def __init__(self, store: Store) -> None:
        self.queue = WorkQueue(self._look)
        self.blind_to_younger_than = 0.0
        """Seconds for which a new dependent is not seen by the check of its owner."""
        self._store = store
        self._seen_at: dict[str, float] = {}
        store.subscribe(self._observe)

    def _observe(self, change: Change) -> None:
        metadata = change.object["metadata"]
        uid = metadata["uid"]
        owners = owner_uids(change.object)
        if change.kind == "ADDED" and owners:
            self._seen_at[uid] = time.monotonic()
        if change.kind == "DELETED":
            self._seen_at.pop(uid, None)
            for _, dependent in self._store.dependents(uid):
                self.queue.add(dependent["metadata"]["uid"])
        elif "deletionTimestamp" in metadata or owners:
            self.queue.add(uid)
        for owner in owners:
            self.queue.add(owner)

    def _look(self, uid: str) -> None:
        found = self._store.by_uid(uid)
        if found is None:
            return
        resource, obj = found
        finalizers = obj["metadata"].get("finalizers", ())
        if "deletionTimestamp" in obj["metadata"]:
            if ORPHAN in finalizers:
                self._orphan(resource, obj)
            elif FOREGROUND in finalizers:
                self._delete_dependents_first(resource, obj)
        elif owner_uids(obj) and all(self._is_absent(owner) for owner in obj["metadata"]["ownerReferences"]):
            delete(self._store, resource, obj, DeleteOptions(propagation=_policy(obj), uid=uid))

    def _is_absent(self, owner: Object) -> bool:
        """An owner of a kind unknown to the server can never be found to be absent."""
        known = (owner["apiVersion"], owner["kind"]) in BY_KIND
        return known and self._store.by_uid(owner["uid"]) is None

    def _orphan(self, resource: Resource, obj: Object) -> None:
        uid = obj["metadata"]["uid"]
        for kind, dependent in self._store.dependents(uid):
            metadata = dict(dependent["metadata"])
            owners = [each for each in metadata["ownerReferences"] if each["uid"] != uid]
            if owners:
                metadata["ownerReferences"] = owners
            else:
                del metadata["ownerReferences"]
            self._store.replace(kind, {**dependent, "metadata": metadata})
        settle(self._store, resource, without_finalizer(obj, ORPHAN))

    def _delete_dependents_first(self, resource: Resource, obj: Object) -> None:
        uid = obj["metadata"]["uid"]
        blocking = [
            (kind, dependent)
            for kind, dependent in self._store.dependents(uid)
            if _blocks(dependent, uid) and not self._overlooked(dependent)
        ]
        if not blocking:
            settle(self._store, resource, without_finalizer(obj, FOREGROUND))
            return
        for kind, dependent in blocking:
            if "deletionTimestamp" not in dependent["metadata"] and self._may_go(dependent, uid):
                options = DeleteOptions(propagation=_policy(dependent), uid=dependent["metadata"]["uid"])
                delete(self._store, kind, dependent, options)

    def _may_go(self, dependent: Object, uid: str) -> bool:
        """Another owner that lives on keeps a dependent alive."""
        others = [owner for owner in dependent["metadata"]["ownerReferences"] if owner["uid"] != uid]
        return all(self._is_absent(owner) for owner in others)

    def _overlooked(self, dependent: Object) -> bool:
        born = self._seen_at.get(dependent["metadata"]["uid"], 0.0)
        return time.monotonic() - born < self.blind_to_younger_than


class NamespaceController:
    """Empties a namespace that is being deleted, then removes it."""

    def __init__(self, store: Store) -> None:
        self.queue = WorkQueue(self._empty)
        self._store = store
        store.subscribe(self._observe)

    def _observe(self, change: Change) -> None:
        metadata = change.object["metadata"]
        if change.resource is NAMESPACES:
            if "deletionTimestamp" in metadata and change.kind == "MODIFIED":
                self.queue.add(metadata["name"])
        elif change.kind == "DELETED" and change.resource.namespaced:
            self.queue.add(metadata["namespace"])

    def _empty(self, name: str) -> None:
        space = self._store.get(NAMESPACES, "", name)
        if space is None or "deletionTimestamp" not in space["metadata"]:
            return
        inside = [(r, obj) for r in RESOURCES if r.namespaced for obj in self._store.items(r, name)]
        if not inside:
            self._store.remove(NAMESPACES, space)
            return
        for resource, obj in inside:
            if "deletionTimestamp" not in obj["metadata"]:
                delete(self._store, resource, obj, DeleteOptions(propagation="Background"))


def _blocks(dependent: Object, uid: str) -> bool:
    owners = dependent["metadata"].get("ownerReferences", ())
    return any(owner["uid"] == uid and owner.get("blockOwnerDeletion") for owner in owners)


def _policy(obj: Object) -> str:
    finalizers = obj["metadata"].get("finalizers", ())
    if ORPHAN in finalizers:
        return "Orphan"
    return "Foreground" if FOREGROUND in finalizers else "Background"
