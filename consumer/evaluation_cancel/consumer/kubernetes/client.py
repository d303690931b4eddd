"""Raw requests to one Kubernetes API server: bounded in time, answers sorted into ours by their status.

The typed calls of kubernetes_asyncio cost a millisecond of CPU each, most of it in building models of which a few
fields are read; a raw request through its `ApiClient` (which does TLS, tokens and their renewal) costs a third. What
it does not do then is raise: that is done here. What the answers mean is `jobs.py`'s business.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

from evaluation_cancel.consumer.domain.errors import Refusal, TemporaryError, parse_retry_after

if TYPE_CHECKING:
    from kubernetes_asyncio.client import ApiClient

_PARTIAL = "application/json;as={};g=meta.k8s.io;v=v1,application/json"
METADATA_ONLY = _PARTIAL.format("PartialObjectMetadataList")
"""Asks a list for names, labels and owners alone; a server that cannot do that sends whole objects."""
WATCH_METADATA_ONLY = _PARTIAL.format("PartialObjectMetadata")
"""The same of a watch."""
_RENEWAL_PAUSE = 10.0


class ExpiredError(TemporaryError):
    """410: the list or watch must start anew."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back, read to its end."""

    status: int
    retry_after: str | None
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body, which must be a JSON object: anything else did not come from a Kubernetes API server."""
        try:
            value = orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise TemporaryError("not_kubernetes", f"answer {self.status} is not JSON") from error
        if not isinstance(value, dict):
            raise TemporaryError("not_kubernetes", f"answer {self.status} is not a JSON object")
        return value

    def status_object(self) -> dict[str, Any] | None:
        """The Kubernetes `Status` that comes with an error, or None if it is somebody else's error page."""
        try:
            value = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None
        return value if isinstance(value, dict) and value.get("kind") == "Status" else None

    def message(self) -> str:
        status = self.status_object()
        text = str(status.get("message", "")) if status else self.body[:300].decode("utf-8", "replace")
        return f"{self.status}: {text}"


class KubernetesCalls:
    """One `ApiClient`, so one connection pool, for one cluster."""

    def __init__(
        self,
        client: ApiClient,
        *,
        timeout: float = 10.0,
        connect_timeout: float = 3.0,
        renew: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._client = client
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=connect_timeout)
        self._renew = renew
        self._renewed_at = 0.0

    async def call(
        self,
        method: str,
        path: str,
        *,
        names: Mapping[str, str] | None = None,
        query: Sequence[tuple[str, str]] = (),
        body: dict[str, Any] | None = None,
        accept: str = "application/json",
    ) -> Answer:
        """One request. Returns 2xx, 404 and 409; every other answer, and every lost one, is raised."""
        writes = method != "GET"
        try:
            response = await self.open(method, path, names=names, query=query, body=body, accept=accept)
            async with response:
                answer = Answer(
                    status=response.status,
                    retry_after=response.headers.get("Retry-After"),
                    body=await response.read(),
                )
        except TemporaryError:
            raise
        except Exception as error:
            raise lost(error, writes=writes) from error
        if answer.status == 401:  # noqa: PLR2004
            await self._renew_credentials()
        if answer.status >= 300 and answer.status not in {404, 409}:  # noqa: PLR2004
            raise refused(answer, writes=writes)
        return answer

    async def open(
        self,
        method: str,
        path: str,
        *,
        names: Mapping[str, str] | None = None,
        query: Sequence[tuple[str, str]] = (),
        body: dict[str, Any] | None = None,
        accept: str = "application/json",
        timeout: aiohttp.ClientTimeout | None = None,  # noqa: ASYNC109  # aiohttp's own, several in one
    ) -> aiohttp.ClientResponse:
        """The answer's head, its body still to be read: for watches. Client errors come through as they are."""
        response: aiohttp.ClientResponse = await self._client.call_api(
            path,
            method,
            dict(names or {}),
            list(query),
            {"Accept": accept},
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=timeout or self._timeout,
        )
        return response

    async def close(self) -> None:
        await self._client.close()

    async def _renew_credentials(self) -> None:
        """Tokens from a kubeconfig's exec plug-in end without notice; 401 is the notice."""
        now = time.monotonic()
        if self._renew is None or now - self._renewed_at < _RENEWAL_PAUSE:
            return
        self._renewed_at = now
        try:
            await self._renew()
        except Exception as error:
            raise TemporaryError("unauthenticated", f"credentials could not be renewed: {error}") from error


def lost(error: Exception, *, writes: bool) -> TemporaryError:
    """No answer. Unless the connection was never made, a write may have been performed."""
    detail = f"{type(error).__name__}: {error}"
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return TemporaryError("unreachable", detail)
    if isinstance(error, asyncio.TimeoutError):
        return TemporaryError("timeout", detail, outcome_unknown=writes)
    if isinstance(error, aiohttp.ClientError | OSError):
        return TemporaryError("connection_lost", detail, outcome_unknown=writes)
    return TemporaryError("client_error", detail, outcome_unknown=writes)


def refused(answer: Answer, *, writes: bool) -> TemporaryError | Refusal:
    """An answer that is neither success nor absence nor conflict."""
    detail = answer.message()
    retry_after = parse_retry_after(answer.retry_after)
    match answer.status:
        case 401:
            return TemporaryError("unauthenticated", detail)
        case 403:
            return Refusal("rbac_denied", detail)
        case 410:
            return ExpiredError("expired", detail)
        case 429:
            return TemporaryError("throttled", detail, retry_after)
        case status if status >= 500:  # noqa: PLR2004
            return TemporaryError("server_error", detail, retry_after, outcome_unknown=writes)
        case _:
            return TemporaryError("unexpected_answer", detail, retry_after, outcome_unknown=writes)
