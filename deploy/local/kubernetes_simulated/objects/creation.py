"""What the server adds to an object before it stores it for the first time, and what it refuses.

Defaults and checks cover what this service and its tests rely on; the real server knows many more.
"""

import re
import uuid
from typing import Any

from deploy.local.kubernetes_simulated.objects import clock, podspec
from deploy.local.kubernetes_simulated.objects.resources import JOBS, NAMESPACES, PODS, Object, Resource
from deploy.local.kubernetes_simulated.objects.selectors import matches_selector
from deploy.local.kubernetes_simulated.objects.status import ApiError, already_exists, bad_request, failure, invalid
from deploy.local.kubernetes_simulated.objects.status import not_found as missing
from deploy.local.kubernetes_simulated.objects.store import Store

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"
_NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
_LONGEST_NAME = 253
_NOT_SIMULATED = ("podFailurePolicy", "successPolicy", "backoffLimitPerIndex", "maxFailedIndexes", "managedBy")


def create(store: Store, resource: Resource, namespace: str, body: Object) -> Object:
    """Complete, check and store a new object."""
    body = {key: value for key, value in body.items() if key not in ("kind", "apiVersion")}
    metadata: Object = dict(body.get("metadata") or {})
    _place(store, resource, namespace, metadata)
    name = metadata["name"]
    _check_name(resource, name)
    if store.get(resource, namespace, name) is not None:
        raise already_exists(resource, name)
    for field in ("resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
        metadata.pop(field, None)
    for field in ("labels", "annotations", "finalizers", "ownerReferences"):
        if not metadata.get(field):
            metadata.pop(field, None)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = clock.now()
    obj = {**body, "metadata": metadata}
    if resource is JOBS:
        obj = _job(obj)
    elif resource is PODS:
        obj = _pod(obj)
    elif resource is NAMESPACES:
        metadata["labels"] = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": name}
        obj = {**obj, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
    return store.add(resource, obj)


def _place(store: Store, resource: Resource, namespace: str, metadata: Object) -> None:
    """Fill in name and namespace; the namespace must exist and not be ending."""
    if not metadata.get("name"):
        if not metadata.get("generateName"):
            raise invalid(
                resource, "", "metadata.name", "Required value: name or generateName is required", "FieldValueRequired"
            )
        metadata["name"] = metadata["generateName"] + clock.random_suffix()
    if not resource.namespaced:
        metadata.pop("namespace", None)
        return
    if metadata.get("namespace") not in (None, "", namespace):
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    metadata["namespace"] = namespace
    space = store.get(NAMESPACES, "", namespace)
    if space is None:
        raise missing(NAMESPACES, namespace)
    if "deletionTimestamp" in space["metadata"]:
        raise _terminating(resource, metadata["name"], namespace)


def _terminating(resource: Resource, name: str, namespace: str) -> ApiError:
    reason = f"unable to create new content in namespace {namespace} because it is being terminated"
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {namespace} is being terminated",
        "field": "metadata.namespace",
    }
    details = {"name": name, "group": resource.group, "kind": resource.plural, "causes": [cause]}
    return ApiError(failure(403, "Forbidden", f'{resource.qualified} "{name}" is forbidden: {reason}', details))


def _check_name(resource: Resource, name: str) -> None:
    # RBAC objects may be called almost anything, such as `system:node`.
    if resource.group.startswith("rbac") or (_NAME.match(name) and len(name) <= _LONGEST_NAME):
        return
    raise invalid(
        resource,
        name,
        "metadata.name",
        f'Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of '
        "lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
    )


def _job(obj: Object) -> Object:
    spec: Object = dict(obj.get("spec") or {})
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    defaults = {
        "parallelism": 1,
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "suspend": False,
        "manualSelector": False,
        "podReplacementPolicy": "TerminatingOrFailed",
    }
    spec = {**defaults, **{key: value for key, value in spec.items() if value is not None}}
    metadata: Object = {**obj["metadata"], "generation": 1}
    template: Object = dict(spec.get("template") or {})
    template_metadata: Object = dict(template.get("metadata") or {})
    labels: dict[str, str] = dict(template_metadata.get("labels") or {})
    if not spec["manualSelector"]:
        name, uid = str(metadata["name"]), str(metadata["uid"])
        generated = {JOB_NAME: name, "job-name": name, CONTROLLER_UID: uid, "controller-uid": uid}
        labels = {**generated, **labels}
        selector: Object = dict(spec.get("selector") or {})
        selector["matchLabels"] = {CONTROLLER_UID: metadata["uid"], **(selector.get("matchLabels") or {})}
        spec["selector"] = selector
    if not metadata.get("labels") and template_metadata.get("labels"):
        metadata["labels"] = labels
    template["metadata"] = {**template_metadata, "labels": labels}
    template["spec"] = podspec.completed(template.get("spec") or {})
    spec["template"] = template
    _check_job(metadata["name"], spec, metadata["uid"])
    return {**obj, "metadata": metadata, "spec": spec, "status": {}}


def _check_job(name: str, spec: Object, uid: str) -> None:
    template: Any = spec["template"]
    unknown = [field for field in _NOT_SIMULATED if field in spec]
    if unknown or spec["completionMode"] != "NonIndexed":
        raise bad_request(f"not simulated: {', '.join(unknown) or 'completionMode ' + spec['completionMode']}")
    if not spec.get("selector"):
        raise invalid(JOBS, name, "spec.selector", "Required value", "FieldValueRequired")
    labels = template["metadata"]["labels"]
    if not matches_selector(spec["selector"], labels):
        raise invalid(
            JOBS,
            name,
            "spec.template.metadata.labels",
            f"Invalid value: {labels}: `selector` does not match template `labels`",
        )
    if not spec["manualSelector"] and spec["selector"]["matchLabels"][CONTROLLER_UID] != uid:
        raise invalid(JOBS, name, "spec.selector", "Invalid value: `selector` not auto-generated")
    if not template["spec"].get("containers"):
        raise invalid(JOBS, name, "spec.template.spec.containers", "Required value", "FieldValueRequired")
    policy = template["spec"].get("restartPolicy")
    if policy not in ("Never", "OnFailure"):
        problem = f'Unsupported value: "{policy or "Always"}": supported values: "OnFailure", "Never"'
        raise invalid(JOBS, name, "spec.template.spec.restartPolicy", problem, "FieldValueNotSupported")


def _pod(obj: Object) -> Object:
    spec = podspec.of_a_pod(obj.get("spec") or {})
    name = obj["metadata"]["name"]
    if not spec.get("containers"):
        raise invalid(PODS, name, "spec.containers", "Required value", "FieldValueRequired")
    metadata = {**obj["metadata"], "generation": 1}
    return {**obj, "metadata": metadata, "spec": spec, "status": {"phase": "Pending", "qosClass": "BestEffort"}}
