"""One use case a verb: from a RequestInfo and a decoded body to an object or a list. No HTTP here.

`server` speaks HTTP and has checked who asks; the rules themselves are in `creation`, `deletion`, `updating` and
`listing`.
"""

from collections.abc import Mapping
from typing import Any

from deploy.local.kubernetes_simulated.apiserver.access import Access, User
from deploy.local.kubernetes_simulated.apiserver.request_info import RequestInfo
from deploy.local.kubernetes_simulated.objects import creation, updating
from deploy.local.kubernetes_simulated.objects.deletion import DeleteOptions, check_policy, delete
from deploy.local.kubernetes_simulated.objects.listing import list_objects, selection
from deploy.local.kubernetes_simulated.objects.resources import SERVICE_ACCOUNTS, Object, Resource
from deploy.local.kubernetes_simulated.objects.status import bad_request, not_allowed, not_found, success
from deploy.local.kubernetes_simulated.objects.store import Store

Answer = tuple[int, Object]


class Api:
    """The verbs of the API over one store."""

    def __init__(self, store: Store, access: Access) -> None:
        self.cached_at: int | None = None
        """The version that lists with resourceVersion=0 are served from; None: the newest."""
        self._store = store
        self._access = access

    def perform(self, info: RequestInfo, resource: Resource, query: Mapping[str, str], body: Any, kind: str) -> Answer:
        """Carry out one request; `kind` is the content type of its body."""
        if _asks_dry_run(query, body):
            raise bad_request("dryRun is not simulated")
        if info.subresource == "token" and resource is SERVICE_ACCOUNTS and info.verb == "create":
            return 201, self._token(info)
        if info.subresource not in ("", "status"):
            raise not_allowed()
        if info.name:
            return self._one(info, resource, query, body, kind)
        return self._many(info, resource, query, body)

    def _one(self, info: RequestInfo, resource: Resource, query: Mapping[str, str], body: Any, kind: str) -> Answer:
        if info.verb not in ("get", "update", "patch", "delete"):
            raise not_allowed()
        if info.verb == "delete":
            check_policy(_options(query, body))
        stored = self._find(info, resource)
        match info.verb:
            case "get":
                new = stored
            case "update":
                new = updating.update(self._store, resource, stored, _object(body), info.subresource)
            case "patch":
                wanted = updating.patched(stored, body, kind)
                new = updating.update(self._store, resource, stored, wanted, info.subresource)
            case _:
                return self._delete(stored, resource, query, body)
        return 200, named(resource, new)

    def _many(self, info: RequestInfo, resource: Resource, query: Mapping[str, str], body: Any) -> Answer:
        match info.verb:
            case "list":
                return 200, list_objects(self._store, resource, info.namespace, query, cached_at=self.cached_at)
            case "create":
                return 201, named(resource, creation.create(self._store, resource, info.namespace, _object(body)))
            case "deletecollection":
                return self._delete_collection(info, resource, query, body)
        raise not_allowed()

    def _find(self, info: RequestInfo, resource: Resource) -> Object:
        namespace = info.namespace if resource.namespaced else ""
        obj = self._store.get(resource, namespace, info.name)
        if obj is None:
            raise not_found(resource, info.name)
        return obj

    def _delete(self, stored: Object, resource: Resource, query: Mapping[str, str], body: Any) -> Answer:
        options = _options(query, body)
        deleted = delete(self._store, resource, stored, options)
        if deleted.gone and not resource.returns_deleted:
            return 200, success(resource, deleted.object["metadata"])
        accepted = not deleted.gone and options.orphan_dependents is False
        return 202 if accepted else 200, named(resource, deleted.object)

    def _delete_collection(self, info: RequestInfo, resource: Resource, query: Mapping[str, str], body: Any) -> Answer:
        options = _options(query, body)
        check_policy(options)
        test = selection(resource, query)
        chosen = [o for o in self._store.items(resource, info.namespace) if test is None or test(o)]
        items = [delete(self._store, resource, obj, options).object for obj in chosen]
        metadata = {"resourceVersion": str(self._store.version)}
        kind = f"{resource.kind}List"
        return 200, {"kind": kind, "apiVersion": resource.api_version, "metadata": metadata, "items": items}

    def _token(self, info: RequestInfo) -> Object:
        self._find(info, SERVICE_ACCOUNTS)
        token = self._access.service_account_token(info.namespace, info.name)
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": info.name, "namespace": info.namespace},
            "spec": {"audiences": [], "expirationSeconds": 3600},
            "status": {"token": token, "expirationTimestamp": "2100-01-01T00:00:00Z"},
        }

    def review(self, user: User, body: Any) -> Answer:
        """SelfSubjectAccessReview: whether the caller may do what the body describes."""
        wanted = _object(body).get("spec", {}).get("resourceAttributes") or {}
        info = RequestInfo(
            verb=wanted.get("verb", ""),
            group=wanted.get("group", ""),
            plural=wanted.get("resource", ""),
            namespace=wanted.get("namespace", ""),
            name=wanted.get("name", ""),
            subresource=wanted.get("subresource", ""),
            resource=None,
        )
        return 201, {
            "kind": "SelfSubjectAccessReview",
            "apiVersion": "authorization.k8s.io/v1",
            "metadata": {"creationTimestamp": None},
            "spec": {"resourceAttributes": wanted},
            "status": {"allowed": self._access.allows(user, info)},
        }


def named(resource: Resource, obj: Object) -> Object:
    """An object as it stands alone; inside a list kind and version are left out."""
    return {"kind": resource.kind, "apiVersion": resource.api_version, **obj}


def _object(body: Any) -> Object:
    if not isinstance(body, dict):
        raise bad_request("the body of the request must be an object")
    return body


def _asks_dry_run(query: Mapping[str, str], body: Any) -> bool:
    return bool(query.get("dryRun") or (isinstance(body, dict) and body.get("dryRun")))


def _options(query: Mapping[str, str], body: Any) -> DeleteOptions:
    """A body that is there wins over the whole query."""
    if isinstance(body, dict):
        preconditions = body.get("preconditions") or {}
        return DeleteOptions(
            propagation=body.get("propagationPolicy"),
            orphan_dependents=body.get("orphanDependents"),
            grace=body.get("gracePeriodSeconds"),
            uid=preconditions.get("uid"),
            version=preconditions.get("resourceVersion"),
        )
    orphan = {"true": True, "1": True, "false": False, "0": False}.get(query.get("orphanDependents", ""))
    grace = query.get("gracePeriodSeconds")
    return DeleteOptions(
        propagation=query.get("propagationPolicy"),
        orphan_dependents=orphan,
        grace=int(grace) if grace else None,
    )
