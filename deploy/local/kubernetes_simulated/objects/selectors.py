"""Label and field selectors: text in, a test of one object out.

Labels: `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a`, `!a`, joined by commas. Fields: equality on the few
fields the real server offers for Jobs and pods. Anything else is answered 400.
"""

import re
from collections.abc import Callable

from deploy.local.kubernetes_simulated.objects.resources import JOBS, NAMESPACES, PODS, Object, Resource
from deploy.local.kubernetes_simulated.objects.status import bad_request

Test = Callable[[Object], bool]
Requirement = Callable[[dict[str, str]], bool]

_KEY = r"[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?"
_SET = re.compile(rf"^(?P<key>{_KEY})\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)$")
_EQUAL = re.compile(rf"^(?P<key>{_KEY})\s*(?P<op>==|=|!=)\s*(?P<value>[A-Za-z0-9._-]*)$")
_EXISTS = re.compile(rf"^(?P<not>!?)\s*(?P<key>{_KEY})$")
_COMMA = re.compile(r",(?![^(]*\))")

_FIELDS: dict[Resource, tuple[str, ...]] = {
    JOBS: ("status.successful",),
    PODS: ("spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "status.phase", "status.podIP"),
    NAMESPACES: ("status.phase",),
}


def everything(_: Object) -> bool:
    return True


def label_test(selector: str) -> Test:
    """Whether an object's labels fulfil every requirement of `selector`."""
    if not selector.strip():
        return everything
    requirements = [_requirement(part.strip()) for part in _COMMA.split(selector)]

    def test(obj: Object) -> bool:
        labels = obj["metadata"].get("labels") or {}
        return all(requirement(labels) for requirement in requirements)

    return test


def _requirement(text: str) -> Requirement:
    if found := _SET.match(text):
        key, values = found["key"], {value.strip() for value in found["values"].split(",")}
        if found["op"] == "in":
            return lambda labels: key in labels and labels[key] in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.match(text):
        key, value = found["key"], found["value"]
        if found["op"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTS.match(text):
        key = found["key"]
        if found["not"]:
            return lambda labels: key not in labels
        return lambda labels: key in labels
    raise bad_request(f"unable to parse requirement: {text}")


def field_test(selector: str, resource: Resource) -> Test:
    """Whether an object's fields equal what `selector` says."""
    if not selector.strip():
        return everything
    wanted = [_field(part.strip(), resource) for part in selector.split(",")]

    def test(obj: Object) -> bool:
        return all((_value(obj, path) == value) is equal for path, value, equal in wanted)

    return test


def _field(text: str, resource: Resource) -> tuple[list[str], str, bool]:
    found = re.match(r"^([^=!]+)(==|=|!=)(.*)$", text)
    if found is None:
        raise bad_request(f"invalid field selector: {text}")
    path, operator, value = found.groups()
    if path not in ("metadata.name", "metadata.namespace", *_FIELDS.get(resource, ())):
        raise bad_request(f'field label "{path}" not supported for {resource.kind}')
    return path.split("."), value, operator != "!="


def _value(obj: Object, path: list[str]) -> str:
    value: object = obj
    for part in path:
        # The field is called `successful` for historical reasons; the object says `succeeded`.
        value = value.get("succeeded" if part == "successful" else part) if isinstance(value, dict) else None
    if value is None:
        return "0" if path[-1] == "successful" else ""
    return str(value)


def matches_selector(selector: Object, labels: dict[str, str]) -> bool:
    """Whether labels fulfil a LabelSelector object, as in a Job's `spec.selector`."""
    pairs = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in pairs.items()):
        return False
    return all(_matches(expression, labels) for expression in selector.get("matchExpressions") or ())


def _matches(expression: Object, labels: dict[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or ()
    outcomes = {
        "In": value is not None and value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }
    return outcomes[expression["operator"]]
