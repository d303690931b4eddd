"""The kinds of object this API server knows, and nothing about how they behave.

A request for anything else is answered as the real server answers an unknown path: 404 in plain text.
"""

from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """One row of the API: what a path segment such as `jobs` stands for."""

    group: str
    plural: str
    kind: str
    namespaced: bool = True
    version: str = "v1"
    returns_deleted: bool = False
    """Whether a DELETE that removes at once answers with the object instead of a Status."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`jobs.batch`, or `pods` in the core group, as error messages say it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified_kind(self) -> str:
        return f"{self.kind}.{self.group}" if self.group else self.kind


_RBAC = "rbac.authorization.k8s.io"
_FLOW = "flowcontrol.apiserver.k8s.io"

NAMESPACES = Resource(group="", plural="namespaces", kind="Namespace", namespaced=False, returns_deleted=True)
PODS = Resource(group="", plural="pods", kind="Pod", returns_deleted=True)
SERVICE_ACCOUNTS = Resource(group="", plural="serviceaccounts", kind="ServiceAccount", returns_deleted=True)
CONFIG_MAPS = Resource(group="", plural="configmaps", kind="ConfigMap")
NODES = Resource(group="", plural="nodes", kind="Node", namespaced=False)
JOBS = Resource(group="batch", plural="jobs", kind="Job")
CRON_JOBS = Resource(group="batch", plural="cronjobs", kind="CronJob")
ROLES = Resource(group=_RBAC, plural="roles", kind="Role")
ROLE_BINDINGS = Resource(group=_RBAC, plural="rolebindings", kind="RoleBinding")
CLUSTER_ROLES = Resource(group=_RBAC, plural="clusterroles", kind="ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS = Resource(group=_RBAC, plural="clusterrolebindings", kind="ClusterRoleBinding", namespaced=False)
FLOW_SCHEMAS = Resource(group=_FLOW, plural="flowschemas", kind="FlowSchema", namespaced=False)
PRIORITY_LEVELS = Resource(
    group=_FLOW, plural="prioritylevelconfigurations", kind="PriorityLevelConfiguration", namespaced=False
)

RESOURCES: tuple[Resource, ...] = (
    NAMESPACES,
    PODS,
    SERVICE_ACCOUNTS,
    CONFIG_MAPS,
    NODES,
    JOBS,
    CRON_JOBS,
    ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLES,
    CLUSTER_ROLE_BINDINGS,
    FLOW_SCHEMAS,
    PRIORITY_LEVELS,
)
BY_PATH = {(r.group, r.version, r.plural): r for r in RESOURCES}
BY_KIND = {(r.api_version, r.kind): r for r in RESOURCES}
