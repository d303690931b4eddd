"""Lists: selectors, pages of one consistent snapshot, and the versions a client may ask for.

A continue token holds the version and the last key, as the real one does, so a page after others comes from the
past; when that past is compacted the answer is 410 with a token to go on without consistency.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.local.kubernetes_simulated.objects.resources import Object, Resource
from deploy.local.kubernetes_simulated.objects.selectors import Test, everything, field_test, label_test
from deploy.local.kubernetes_simulated.objects.status import ApiError, bad_request, expired, failure, invalid
from deploy.local.kubernetes_simulated.objects.store import Store, key_of

_PAST_IS_GONE = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list "
    "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
    "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
    "modified, or deleted between the time the first chunk was returned and now may show up in the list."
)

_OPTIONS = Resource(group="meta.k8s.io", plural="listoptions", kind="ListOptions")


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """Where a list goes on. Version -1: with what there is now."""

    version: int
    after: tuple[str, str]

    def encode(self) -> str:
        start = "/".join(part for part in self.after if part) + "\0"
        return base64.urlsafe_b64encode(
            json.dumps({"v": "meta.k8s.io/v1", "rv": self.version, "start": start}).encode()
        ).decode()

    @classmethod
    def decode(cls, text: str) -> "Token":
        try:
            content = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            namespace, _, name = content["start"].rstrip("\0").rpartition("/")
            return cls(version=int(content["rv"]), after=(namespace, name))
        except (binascii.Error, ValueError, KeyError, TypeError, AttributeError) as error:
            raise bad_request(f"invalid continue token: continue key is not valid: {error}") from error


def selection(resource: Resource, query: Mapping[str, str]) -> Test | None:
    """The test that the query's selectors make; None when there are none."""
    labels = label_test(query.get("labelSelector", ""))
    fields = field_test(query.get("fieldSelector", ""), resource)
    if labels is everything and fields is everything:
        return None
    return lambda obj: labels(obj) and fields(obj)


def list_objects(
    store: Store, resource: Resource, namespace: str, query: Mapping[str, str], *, cached_at: int | None
) -> Object:
    """The body of a list. `cached_at`: what a list that allows any version may see, None for the present."""
    limit = _number(query, "limit")
    token = Token.decode(query["continue"]) if query.get("continue") else None
    version = _version(store, query, token, limit, cached_at)
    if version is None:
        items = store.items(resource, namespace)
    else:
        _require(store, version, token)
        items = store.snapshot(resource, namespace, version)
    if token is not None:
        items = [obj for obj in items if _key(obj, namespace) > token.after]
    test = selection(resource, query)
    if test is not None:
        items = [obj for obj in items if test(obj)]
    metadata: Object = {"resourceVersion": str(store.version if version is None else version)}
    if limit and len(items) > limit:
        after = _key(items[limit - 1], namespace)
        metadata["continue"] = Token(version=int(metadata["resourceVersion"]), after=after).encode()
        if test is None:
            metadata["remainingItemCount"] = len(items) - limit
        items = items[:limit]
    return {"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": metadata, "items": items}


def _key(obj: Object, namespace: str) -> tuple[str, str]:
    space, name = key_of(obj)
    return ("" if namespace else space, name)


def _version(
    store: Store, query: Mapping[str, str], token: Token | None, limit: int, cached_at: int | None
) -> int | None:
    """The version to show; None: the present."""
    asked, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    if token is not None:
        if asked not in ("", "0"):
            raise bad_request("specifying resource version is not allowed when using continue")
        return None if token.version < 0 else token.version
    if not asked:
        if match:
            problem = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
            raise invalid(_OPTIONS, "", "resourceVersionMatch", problem, "FieldValueForbidden")
        return None
    version = parse_version(asked)
    if version == 0:
        return cached_at
    if version > store.version:
        raise _from_the_future(version, store.version)
    exact = match == "Exact" or (not match and limit > 0)
    return version if exact else None


def parse_version(text: str) -> int:
    if not text.isdecimal():
        raise bad_request(f"invalid resource version: {version_problem(text)}")
    return int(text)


def version_problem(text: str) -> str:
    return f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'


def _require(store: Store, version: int, token: Token | None) -> None:
    if store.remembers(version):
        return
    if token is None:
        raise expired("The resourceVersion for the provided list is too old.")
    error = expired(_PAST_IS_GONE)
    error.body["metadata"] = {"continue": Token(version=-1, after=token.after).encode()}
    raise error


def _from_the_future(version: int, current: int) -> ApiError:
    message = f"Too large resource version: {version}, current: {current}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    body = failure(504, "Timeout", f"Timeout: {message}", {"causes": [cause], "retryAfterSeconds": 1})
    return ApiError(body, retry_after=1)


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "")
    if not text:
        return 0
    if not text.isdecimal():
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)
