"""Who asks, and whether they may: bearer tokens, impersonation, RBAC from the stored roles, flow control.

The rules are objects that clients create, as on the real server, so that the same manifest can be tried on both.
Members of `system:masters` may do everything.
"""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from deploy.local.kubernetes_simulated.apiserver.request_info import RequestInfo
from deploy.local.kubernetes_simulated.objects import resources as known
from deploy.local.kubernetes_simulated.objects.resources import Object
from deploy.local.kubernetes_simulated.objects.status import ApiError, forbidden, unauthorized
from deploy.local.kubernetes_simulated.objects.store import Store

MASTERS = "system:masters"
_CREATIONS = ("create", "list", "watch", "deletecollection")


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    name: str
    groups: tuple[str, ...] = ()


class Access:
    """Tokens and the decision about one request."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tokens: dict[str, User] = {}

    def add_token(self, user: User, token: str | None = None) -> str:
        token = token or secrets.token_urlsafe(24)
        self._tokens[token] = user
        return token

    def revoke(self, token: str) -> None:
        """Answer 401 to this token from now on."""
        self._tokens.pop(token, None)

    def service_account_token(self, namespace: str, name: str) -> str:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        return self.add_token(User(name=f"system:serviceaccount:{namespace}:{name}", groups=groups))

    def authenticate(self, headers: Mapping[str, str]) -> User:
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        user = self._tokens.get(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise unauthorized()
        name = headers.get("Impersonate-User")
        if name is None or MASTERS not in user.groups:
            return user
        groups = headers.getall("Impersonate-Group", []) if hasattr(headers, "getall") else []
        return User(name=name, groups=(*groups, "system:authenticated"))

    def authorize(self, user: User, info: RequestInfo) -> None:
        if not self.allows(user, info):
            raise _refusal(user, info)

    def allows(self, user: User, info: RequestInfo) -> bool:
        if MASTERS in user.groups:
            return True
        return any(_covers(rule, info) for rule in self._rules(user, info.namespace))

    def throttled(self, user: User) -> bool:
        """Whether a FlowSchema sends this user to a level without shares; the real one still serves one at a time."""
        for schema in self._store.items(known.FLOW_SCHEMAS):
            subjects = [s for rule in schema["spec"].get("rules", ()) for s in rule.get("subjects", ())]
            if any(_is_flow_subject(subject, user) for subject in subjects):
                name = schema["spec"]["priorityLevelConfiguration"]["name"]
                level = self._store.get(known.PRIORITY_LEVELS, "", name)
                return level is not None and _rejects(level)
        return False

    def _rules(self, user: User, namespace: str) -> Iterator[Object]:
        for binding in self._store.items(known.CLUSTER_ROLE_BINDINGS):
            yield from self._rules_of(binding, user, "")
        if namespace:
            for binding in self._store.items(known.ROLE_BINDINGS, namespace):
                yield from self._rules_of(binding, user, namespace)

    def _rules_of(self, binding: Object, user: User, namespace: str) -> list[Object]:
        if not any(_is_subject(subject, user, namespace) for subject in binding.get("subjects") or ()):
            return []
        reference = binding["roleRef"]
        cluster_wide = reference["kind"] == "ClusterRole"
        kind = known.CLUSTER_ROLES if cluster_wide else known.ROLES
        role = self._store.get(kind, "" if cluster_wide else namespace, reference["name"])
        return [] if role is None else list(role.get("rules") or ())


def _is_subject(subject: Object, user: User, namespace: str) -> bool:
    if subject["kind"] == "ServiceAccount":
        return user.name == f"system:serviceaccount:{subject.get('namespace', namespace)}:{subject['name']}"
    if subject["kind"] == "Group":
        return subject["name"] in user.groups
    return bool(subject["name"] == user.name)


def _is_flow_subject(subject: Object, user: User) -> bool:
    if subject["kind"] == "User":
        return subject["user"]["name"] in (user.name, "*")
    if subject["kind"] == "Group":
        return subject["group"]["name"] in user.groups
    account = subject["serviceAccount"]
    return user.name == f"system:serviceaccount:{account['namespace']}:{account['name']}"


def _rejects(level: Object) -> bool:
    limited = level["spec"].get("limited") or {}
    return limited.get("nominalConcurrencyShares") == 0 and limited.get("limitResponse", {}).get("type") == "Reject"


def _covers(rule: Object, info: RequestInfo) -> bool:
    names = rule.get("resourceNames") or ()
    return (
        bool({info.verb, "*"} & set(rule["verbs"]))
        and bool({info.group, "*"} & set(rule.get("apiGroups") or ()))
        and bool({info.full_resource, "*"} & set(rule.get("resources") or ()))
        and (not names or info.name in names)
    )


def _refusal(user: User, info: RequestInfo) -> ApiError:
    where = f'in the namespace "{info.namespace}"' if info.namespace else "at the cluster scope"
    qualified = f"{info.plural}.{info.group}" if info.group else info.plural
    quoted = f' "{info.name}"' if info.name and info.verb not in _CREATIONS else ""
    message = (
        f'{qualified}{quoted} is forbidden: User "{user.name}" cannot {info.verb} resource "{info.full_resource}" '
        f'in API group "{info.group}" {where}'
    )
    details = {"name": info.name if quoted else "", "group": info.group, "kind": info.plural}
    return forbidden(message, details)
