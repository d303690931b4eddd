"""What a request asks for: verb, resource, namespace and name, read from its method, path and query.

Mirrors the real server's RequestInfo, which authorization, flow control and our faults all go by.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from deploy.local.kubernetes_simulated.objects.resources import BY_PATH, Resource

_SINGLE = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "POST": "create"}
_MANY = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
_GROUPS = {(group, version) for group, version, _ in BY_PATH}


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestInfo:
    verb: str
    group: str
    plural: str
    namespace: str
    name: str
    subresource: str
    resource: Resource | None
    """None: a kind that is not simulated."""

    known_group: bool = True

    @property
    def full_resource(self) -> str:
        return f"{self.plural}/{self.subresource}" if self.subresource else self.plural


def parse(method: str, path: str, query: Mapping[str, str]) -> RequestInfo | None:
    """None for a path outside the API, such as `/version` or `/healthz`."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) > 2:  # noqa: PLR2004  /api/v1/<something>
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:  # noqa: PLR2004  /apis/<group>/<version>/<something>
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        inside = len(rest) > 2 and rest[2] not in ("status", "finalize")  # noqa: PLR2004
        rest = rest[2:] if inside else rest
    plural, name, subresource = (*rest, "", "")[0], (*rest, "", "")[1], "/".join(rest[2:])
    verb = (_SINGLE if name else _MANY).get(method, method.lower())
    if verb in ("list", "get") and query.get("watch", "").lower() in ("1", "true"):
        verb = "watch"
    return RequestInfo(
        verb=verb,
        group=group,
        plural=plural,
        namespace=namespace,
        name=name,
        subresource=subresource,
        resource=BY_PATH.get((group, version, plural)),
        known_group=(group, version) in _GROUPS,
    )
