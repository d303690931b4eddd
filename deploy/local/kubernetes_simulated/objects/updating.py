"""PUT and PATCH: a new state of an object that exists, checked against the version the client saw.

What a client may not change (identity, deletion times, status through the main resource) is kept as it is stored.
Patches: merge, JSON patch, and strategic merge for the lists of metadata that have merge keys.
"""

import copy
from typing import Any

from deploy.local.kubernetes_simulated.objects.deletion import settle
from deploy.local.kubernetes_simulated.objects.resources import JOBS, Object, Resource
from deploy.local.kubernetes_simulated.objects.status import bad_request, invalid, modified_meanwhile
from deploy.local.kubernetes_simulated.objects.store import Store

_FIXED = (
    "uid",
    "name",
    "namespace",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "generateName",
)
_MERGE_KEYS = {"ownerReferences": "uid", "conditions": "type"}


def update(store: Store, resource: Resource, stored: Object, wanted: Object, subresource: str) -> Object:
    """Store `wanted` in place of `stored`, or only its status."""
    name = stored["metadata"]["name"]
    wanted = {key: value for key, value in wanted.items() if key not in ("kind", "apiVersion")}
    metadata: Object = dict(wanted.get("metadata") or {})
    version = metadata.get("resourceVersion")
    if version and version != stored["metadata"]["resourceVersion"]:
        raise modified_meanwhile(resource, name)
    if subresource == "status":
        return store.replace(resource, {**stored, "status": wanted.get("status") or {}})
    if metadata.get("uid", stored["metadata"]["uid"]) != stored["metadata"]["uid"]:
        raise modified_meanwhile(resource, name)
    for field in _FIXED:
        metadata.pop(field, None)
        if field in stored["metadata"]:
            metadata[field] = stored["metadata"][field]
    metadata["resourceVersion"] = stored["metadata"]["resourceVersion"]
    for field in ("finalizers", "ownerReferences", "labels", "annotations"):
        if not metadata.get(field):
            metadata.pop(field, None)
    new = {**wanted, "metadata": metadata}
    if "status" in stored:
        new["status"] = stored["status"]
    _check(resource, stored, new)
    if "generation" in metadata and new.get("spec") != stored.get("spec"):
        metadata["generation"] += 1
    return settle(store, resource, new)


def _check(resource: Resource, stored: Object, new: Object) -> None:
    name, metadata = stored["metadata"]["name"], new["metadata"]
    if "deletionTimestamp" in metadata:
        added = set(metadata.get("finalizers", ())) - set(stored["metadata"].get("finalizers", ()))
        if added:
            rule = "no new finalizers can be added if the object is being deleted"
            problem = f"Forbidden: {rule}, found new finalizers {sorted(added)}"
            raise invalid(resource, name, "metadata.finalizers", problem, "FieldValueForbidden")
    if resource is JOBS:
        for field in ("selector", "completions", "manualSelector", "completionMode"):
            if new["spec"].get(field) != stored["spec"].get(field):
                raise invalid(resource, name, f"spec.{field}", "Invalid value: field is immutable")


def patched(stored: Object, patch: Any, content_type: str) -> Object:
    """What `stored` becomes by `patch`, whose kind the content type says."""
    current = copy.deepcopy(stored)
    if content_type == "application/json-patch+json":
        return _json_patch(current, patch)
    if not isinstance(patch, dict):
        raise bad_request("json: cannot unmarshal a patch that is not an object")
    strategic = content_type == "application/strategic-merge-patch+json"
    merged: Object = _merge(current, patch, strategic=strategic)
    return merged


def _merge(current: Any, patch: Any, *, strategic: bool, field: str = "") -> Any:
    if strategic and isinstance(patch, list) and isinstance(current, list):
        return _merge_lists(current, patch, field)
    if not isinstance(patch, dict):
        return patch
    result: Object = dict(current) if isinstance(current, dict) else {}
    for key, value in patch.items():
        if strategic and key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            result[name] = [each for each in result.get(name, ()) if each not in value]
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = _merge(result.get(key), value, strategic=strategic, field=key)
    return result


def _merge_lists(current: list[Any], patch: list[Any], field: str) -> list[Any]:
    if field == "finalizers":
        return list(dict.fromkeys([*current, *patch]))
    if field not in _MERGE_KEYS:
        return patch
    key = _MERGE_KEYS[field]
    result = {each[key]: each for each in current}
    for each in patch:
        if each.get("$patch") == "delete":
            result.pop(each[key], None)
        else:
            result[each[key]] = {**result.get(each[key], {}), **each}
    return list(result.values())


def _json_patch(document: Object, operations: Any) -> Object:
    if not isinstance(operations, list):
        raise bad_request("json: cannot unmarshal a JSON patch that is not an array")
    for operation in operations:
        try:
            _apply(document, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise bad_request(f"the server rejected our request due to an error in our request: {error}") from error
    return document


def _apply(document: Object, operation: Object) -> None:
    *parents, last = (part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:])
    target: Any = document
    for part in parents:
        target = target[int(part)] if isinstance(target, list) else target[part]
    kind = operation["op"]
    index: Any = last
    if isinstance(target, list):
        index = len(target) if last == "-" else int(last)
    if kind == "add" and isinstance(target, list):
        target.insert(index, operation["value"])
    elif kind in ("add", "replace"):
        target[index] = operation["value"]
    elif kind == "remove":
        del target[index]
    elif kind == "test":
        if target[index] != operation["value"]:
            raise ValueError("test failed")
    else:
        raise ValueError(f"operation {kind} is not simulated")
