"""The fields the real server adds to the spec of a pod, alone or in a template."""

from deploy.local.kubernetes_simulated.objects.resources import Object

_CONTAINER: Object = {
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "imagePullPolicy": "Always",
}
_TEMPLATE: Object = {
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
}
_TOLERATIONS = [
    {"key": f"node.kubernetes.io/{state}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for state in ("not-ready", "unreachable")
]
_POD: Object = {
    "restartPolicy": "Always",
    "tolerations": _TOLERATIONS,
    "priority": 0,
    "enableServiceLinks": True,
    "preemptionPolicy": "PreemptLowerPriority",
}


def completed(spec: Object) -> Object:
    """A pod template's spec with the defaults of pod and containers."""
    given = {key: value for key, value in spec.items() if value is not None}
    containers = [{**_CONTAINER, **container} for container in given.get("containers") or ()]
    return {**_TEMPLATE, **given, "containers": containers}


def of_a_pod(spec: Object) -> Object:
    """The spec of a pod itself, which admission completes further."""
    return {**_POD, **completed(spec)}
