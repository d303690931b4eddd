"""HTTP: from a request to an answer, in the real server's order: who are you, faults, flow control, may you, do it.

Errors become Status bodies here; 429 and unknown paths are plain text, as on the real server.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

import orjson
from aiohttp import web

from deploy.local.kubernetes_simulated.apiserver.access import MASTERS, Access, User
from deploy.local.kubernetes_simulated.apiserver.api import Api
from deploy.local.kubernetes_simulated.apiserver.faults import Fault, Faults
from deploy.local.kubernetes_simulated.apiserver.knobs import PATH, Panel
from deploy.local.kubernetes_simulated.apiserver.request_info import RequestInfo, parse
from deploy.local.kubernetes_simulated.objects.status import ApiError, bad_request, failure, injected, unknown_resource
from deploy.local.kubernetes_simulated.objects.watching import Watches

_REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
_VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.3", "platform": "linux/amd64"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """One request as it was answered; code 0: the connection was cut, or it is a watch."""

    verb: str
    resource: str
    namespace: str
    name: str
    user: str
    query: dict[str, str]
    body: Any
    code: int = 0


class Server:
    """The handler of every request."""

    def __init__(self, *, api: Api, access: Access, watches: Watches, faults: Faults, panel: Panel) -> None:
        self.requests: deque[Seen] = deque(maxlen=20_000)
        self._api = api
        self._access = access
        self._watches = watches
        self._faults = faults
        self._panel = panel

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._handle(request)
        except ApiError as error:
            return _failed(error)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path in ("/healthz", "/livez", "/readyz"):
            return web.Response(text="ok")
        user = self._access.authenticate(request.headers)
        if request.path == "/version":
            return _json(200, _VERSION)
        body = await _body(request)
        if request.path == _REVIEW and request.method == "POST":
            return _json(*self._api.review(user, body))
        if request.path.startswith(PATH) and MASTERS in user.groups:
            return await self._panel.handle(request.method, request.path, body)
        query = dict(request.query)
        info = parse(request.method, request.path, query)
        if info is None:
            return _unknown_path()
        seen = _seen(info, user, query, body)
        if info.verb == "watch":
            # Told when it begins, for it may never end.
            self.requests.append(seen)
        response = await self._answer(request, info, user, query, body)
        if info.verb != "watch":
            self.requests.append(replace(seen, code=0 if response is None else response.status))
        return response if response is not None else web.Response()

    async def _answer(
        self, request: web.BaseRequest, info: RequestInfo, user: User, query: dict[str, str], body: Any
    ) -> web.StreamResponse | None:
        """None: the connection was cut."""
        fault = self._faults.take(info, user.name)
        if fault is not None:
            if fault.action == "answer":
                return _fault_answer(fault, info)
            if fault.action == "cut_before":
                _cut(request)
                return None
            await asyncio.sleep(fault.seconds)
        if self._access.throttled(user):
            return _too_many(1)
        try:
            response = await self._perform(request, info, user, query, body)
        except ApiError as error:
            response = _failed(error)
        if fault is not None and fault.action == "cut_after":
            _cut(request)
            return None
        return response

    async def _perform(
        self, request: web.BaseRequest, info: RequestInfo, user: User, query: dict[str, str], body: Any
    ) -> web.StreamResponse:
        self._access.authorize(user, info)
        if info.resource is None:
            if info.known_group:
                raise unknown_resource()
            return _unknown_path()
        if info.verb == "watch":
            if info.name:
                query["fieldSelector"] = f"metadata.name={info.name}"
            return await self._watches.serve(request, info.resource, info.namespace, query)
        if info.verb == "patch" and request.content_type not in _PATCHES:
            return _json(415, failure(415, "UnsupportedMediaType", "415: Unsupported Media Type", {}))
        return _json(*self._api.perform(info, info.resource, query, body, request.content_type))


def _seen(info: RequestInfo, user: User, query: dict[str, str], body: Any) -> Seen:
    return Seen(
        verb=info.verb,
        resource=info.full_resource,
        namespace=info.namespace,
        name=info.name,
        user=user.name,
        query=query,
        body=body,
    )


async def _body(request: web.BaseRequest) -> Any:
    raw = await request.read()
    if not raw:
        return None
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"the object provided is unrecognized (must be of type JSON): {error}") from error


def _json(code: int, body: Any, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=code, body=orjson.dumps(body), content_type="application/json", headers=headers)


def _failed(error: ApiError) -> web.Response:
    headers = None if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return _json(error.code, error.body, headers)


def _too_many(retry_after: int) -> web.Response:
    headers = {"Retry-After": str(retry_after), "X-Content-Type-Options": "nosniff"}
    return web.Response(status=429, text="Too many requests, please try again later.\n", headers=headers)


def _fault_answer(fault: Fault, info: RequestInfo) -> web.Response:
    if fault.status == 429:  # noqa: PLR2004  Too Many Requests
        return _too_many(fault.retry_after or 1)
    details = {"name": info.name, "group": info.group, "kind": info.plural}
    return _failed(injected(fault.status, f"{fault.status} was asked for by a test", details, fault.retry_after))


def _unknown_path() -> web.Response:
    return web.Response(status=404, text="404 page not found\n")


def _cut(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()
