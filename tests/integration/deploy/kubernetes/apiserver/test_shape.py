"""The fields of a running Job and its pod, so that a test that reads one on the simulator finds it on a cluster."""

from collections.abc import Iterator
from typing import Any

from tests.support.kubernetes.raw import Raw

OPEN = ("managedFields", "labels", "annotations", "matchLabels")
"""Maps whose keys are not part of the shape."""

METADATA = {"name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "labels"}
CONTAINER = {"name", "image", "resources", "terminationMessagePath", "terminationMessagePolicy", "imagePullPolicy"}
POD_SPEC = {
    *(f"containers.{field}" for field in CONTAINER),
    "nodeName",
    "restartPolicy",
    "terminationGracePeriodSeconds",
    "dnsPolicy",
    "securityContext",
    "schedulerName",
}
JOB = {
    "kind",
    "apiVersion",
    *(f"metadata.{field}" for field in METADATA),
    *(f"spec.template.spec.{field}" for field in POD_SPEC),
    "spec.template.metadata.labels",
    "spec.template.metadata.annotations",
    "spec.selector.matchLabels",
    *(f"spec.{field}" for field in ("parallelism", "completions", "backoffLimit", "manualSelector", "suspend")),
    *(f"spec.{field}" for field in ("completionMode", "podReplacementPolicy")),
    *(f"status.{field}" for field in ("startTime", "active", "ready", "terminating", "uncountedTerminatedPods")),
}
POD = {
    *(f"metadata.{field}" for field in (*METADATA, "generateName", "annotations", "finalizers")),
    *(f"metadata.ownerReferences.{field}" for field in ("apiVersion", "kind", "name", "uid")),
    *(f"metadata.ownerReferences.{field}" for field in ("controller", "blockOwnerDeletion")),
    *(f"spec.{field}" for field in (*POD_SPEC, "priority", "enableServiceLinks", "preemptionPolicy")),
    *(f"spec.tolerations.{field}" for field in ("key", "operator", "effect", "tolerationSeconds")),
    *(f"status.{field}" for field in ("phase", "startTime", "qosClass")),
    *(f"status.conditions.{field}" for field in ("type", "status", "lastProbeTime", "lastTransitionTime")),
    *(f"status.containerStatuses.{field}" for field in ("name", "ready", "restartCount", "image", "imageID")),
    *(f"status.containerStatuses.{field}" for field in ("started", "lastState", "state.running.startedAt")),
}


def paths(value: Any, path: str = "") -> Iterator[str]:
    name = path.rpartition(".")[2]
    if name == "managedFields":
        return
    if isinstance(value, dict) and value and name not in OPEN:
        for key, inner in value.items():
            yield from paths(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for each in value:
            yield from paths(each, path)
    else:
        yield path


async def test_a_running_job_and_its_pod_have_exactly_these_fields(api: Raw) -> None:
    created = await api.running_job("shape", labels={"a": "b"}, ends_after="0")
    await api.until(lambda: _is_ready(api, "shape"))
    (pod,) = await api.pods_of(created.uid)
    assert set(paths((await api.job("shape")).body)) == JOB
    assert set(paths(pod)) == POD


async def _is_ready(api: Raw, name: str) -> bool:
    return (await api.job_status(name)).get("ready") == 1
