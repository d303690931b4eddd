"""What a DELETE does to the object itself: preconditions, finalizers and the graceful end of pods.

The order of the checks is the real server's. It never touches dependents: `garbage` does that, later, as the
real garbage collector does.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from deploy.local.kubernetes_simulated.objects import clock
from deploy.local.kubernetes_simulated.objects.resources import JOBS, NAMESPACES, PODS, Object, Resource
from deploy.local.kubernetes_simulated.objects.status import (
    Problem,
    invalid_fields,
    precondition_failed,
    storage_conflict,
)
from deploy.local.kubernetes_simulated.objects.store import Store, key_of

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_OPTIONS = Resource(group="meta.k8s.io", plural="deleteoptions", kind="DeleteOptions")
_POLICIES = '"Foreground", "Background", "Orphan", "nil"'


@dataclass(frozen=True, kw_only=True, slots=True)
class DeleteOptions:
    """The body of a DELETE, or its query when there is no body."""

    propagation: str | None = None
    orphan_dependents: bool | None = None
    grace: int | None = None
    uid: str | None = None
    version: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Deleted:
    """The last state seen, and whether the object is gone."""

    object: Object
    gone: bool


def check_preconditions(resource: Resource, obj: Object, options: DeleteOptions) -> None:
    metadata = obj["metadata"]
    name, uid, version = metadata["name"], metadata["uid"], metadata["resourceVersion"]
    if options.uid is not None and options.uid != uid:
        raise precondition_failed(resource, name, "UID", options.uid, uid)
    if options.version is not None and options.version != version:
        raise precondition_failed(resource, name, "ResourceVersion", options.version, version)


def delete(store: Store, resource: Resource, obj: Object, options: DeleteOptions) -> Deleted:
    """Delete at once, or mark as being deleted while finalizers or a grace period hold the object."""
    check_preconditions(resource, obj, options)
    if resource is NAMESPACES:
        return Deleted(object=_terminate_namespace(store, obj), gone=False)
    metadata = dict(obj["metadata"])
    if resource is PODS:
        pending = _begin_grace(obj, metadata, options)
        if pending:
            return Deleted(object=obj, gone=False)
    finalizers = _finalizers(resource, metadata, options)
    _set_finalizers(metadata, finalizers)
    waits = bool(metadata.get("deletionGracePeriodSeconds")) and resource is PODS
    if not finalizers and not waits:
        # A graceful end whose time is zero is written down first; anything else is removed as it was.
        graceful = metadata.get("deletionGracePeriodSeconds") != obj["metadata"].get("deletionGracePeriodSeconds")
        if options.version is not None and "finalizers" in obj["metadata"] and not graceful:
            raise storage_conflict(resource, *key_of(obj), obj["metadata"]["resourceVersion"])
        last = {**obj, "metadata": metadata} if graceful else obj
        return Deleted(object=store.remove(resource, last), gone=True)
    if "deletionTimestamp" not in metadata:
        metadata["deletionTimestamp"] = clock.now()
        metadata["deletionGracePeriodSeconds"] = 0
        _next_generation(metadata)
    return Deleted(object=store.replace(resource, {**obj, "metadata": metadata}), gone=False)


def settle(store: Store, resource: Resource, obj: Object) -> Object:
    """Store a changed object; if it was only waiting for its finalizers and has none left, remove it."""
    metadata = obj["metadata"]
    deleting = "deletionTimestamp" in metadata and not metadata.get("finalizers")
    if deleting and not metadata.get("deletionGracePeriodSeconds") and resource is not NAMESPACES:
        return store.remove(resource, obj)
    return store.replace(resource, obj)


def without_finalizer(obj: Object, finalizer: str) -> Object:
    metadata = dict(obj["metadata"])
    _set_finalizers(metadata, [each for each in metadata.get("finalizers", ()) if each != finalizer])
    return {**obj, "metadata": metadata}


def _begin_grace(pod: Object, metadata: Object, options: DeleteOptions) -> bool:
    """Set a pod's deletion times. True: its end is under way already and stays as it is."""
    running = metadata.get("deletionGracePeriodSeconds")
    grace = options.grace if options.grace is None or options.grace >= 0 else 1
    if "deletionTimestamp" in metadata:
        if not running:
            return False
        if grace is None or grace >= running:
            return True
        begun = datetime.strptime(metadata["deletionTimestamp"], "%Y-%m-%dT%H:%M:%S%z").timestamp() - running
        metadata["deletionTimestamp"] = clock.now(later=max(0.0, begun + grace - datetime.now(UTC).timestamp()))
        metadata["deletionGracePeriodSeconds"] = grace
        return False
    if grace is None:
        grace = pod["spec"].get("terminationGracePeriodSeconds", 30)
    finished = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    if finished or not pod["spec"].get("nodeName"):
        grace = 0
    metadata["deletionTimestamp"] = clock.now(later=grace)
    metadata["deletionGracePeriodSeconds"] = grace
    _next_generation(metadata)
    return False


def _finalizers(resource: Resource, metadata: Object, options: DeleteOptions) -> list[str]:
    present = list(metadata.get("finalizers", ()))
    kept = [each for each in present if each not in (FOREGROUND, ORPHAN)]
    if _orphans(resource, present, options):
        kept.append(ORPHAN)
    if _foreground(present, options):
        kept.append(FOREGROUND)
    return kept


def _orphans(resource: Resource, present: list[str], options: DeleteOptions) -> bool:
    if options.orphan_dependents is not None:
        return options.orphan_dependents
    if options.propagation is not None:
        return options.propagation == "Orphan"
    if ORPHAN in present or FOREGROUND in present:
        return ORPHAN in present
    # batch/v1 kept the default of its first days: a Job deleted without a policy leaves its pods running.
    return resource is JOBS


def _foreground(present: list[str], options: DeleteOptions) -> bool:
    if options.orphan_dependents is not None:
        return False
    if options.propagation is not None:
        return options.propagation == "Foreground"
    return FOREGROUND in present and ORPHAN not in present


def _set_finalizers(metadata: Object, finalizers: list[str]) -> None:
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)


def _next_generation(metadata: Object) -> None:
    if "generation" in metadata:
        metadata["generation"] += 1


def _terminate_namespace(store: Store, obj: Object) -> Object:
    """A namespace stays, Terminating, until its controller has emptied it."""
    if "deletionTimestamp" in obj["metadata"]:
        return obj
    metadata = {**obj["metadata"], "deletionTimestamp": clock.now()}
    return store.replace(NAMESPACES, {**obj, "metadata": metadata, "status": {"phase": "Terminating"}})


def check_policy(options: DeleteOptions) -> None:
    """Refuse contradictions and unknown policies, as the real server does before it looks for the object."""
    policy, problems = options.propagation, []
    if policy is not None and options.orphan_dependents is not None:
        text = f'Invalid value: "{policy}": orphanDependents and deletionPropagation cannot be both set'
        problems.append(Problem(field="propagationPolicy", text=text, cause="FieldValueInvalid"))
    if policy not in (None, "Foreground", "Background", "Orphan"):
        text = f'Unsupported value: "{policy}": supported values: {_POLICIES}'
        problems.append(Problem(field="propagationPolicy", text=text, cause="FieldValueNotSupported"))
    if problems:
        raise invalid_fields(_OPTIONS, "", problems)
