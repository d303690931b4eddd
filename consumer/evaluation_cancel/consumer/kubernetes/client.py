"""Sends raw requests to one Kubernetes API server, each with a timeout, and raises our errors for failures.

The typed calls of kubernetes_asyncio take a millisecond of CPU each, mostly to build models of which a few fields are
read. A raw request through its `ApiClient` (TLS, tokens and their renewal) takes a third of that, but does not raise
on an error status, so this module does. `jobs.py` interprets the answers.
"""

from __future__ import annotations

import asyncio
import ssl
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
"""`Accept` header for lists of names, labels and owners only. A server without support sends whole objects."""
WATCH_METADATA_ONLY = _PARTIAL.format("PartialObjectMetadata")
"""The same for a watch."""
_ADMISSION = "denied the request"
"""In the message of every admission webhook and policy that refuses, with any status from 400 to 499."""
_RENEWAL_PAUSE = 10.0
"""Seconds between two renewals of credentials, at least."""


class ExpiredError(TemporaryError):
    """Status 410: the list or watch must start again from the current state."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One answer, its body read completely."""

    status: int
    retry_after: str | None
    body: bytes

    def json(self) -> dict[str, Any]:
        """Parse the body. Raises `TemporaryError` unless it is a JSON object, as each answer of an API server is."""
        try:
            value = orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise TemporaryError("not_kubernetes", f"answer {self.status} is not JSON") from error
        if not isinstance(value, dict):
            raise TemporaryError("not_kubernetes", f"answer {self.status} is not a JSON object")
        return value

    def status_object(self) -> dict[str, Any] | None:
        """Parse the Kubernetes `Status` of an error. None for any other body, such as a proxy's error page."""
        try:
            value = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None
        return value if isinstance(value, dict) and value.get("kind") == "Status" else None

    def message(self) -> str:
        """The status code with the error's text, for logs."""
        status = self.status_object()
        text = str(status.get("message", "")) if status else self.body[:300].decode("utf-8", "replace")
        return f"{self.status}: {text}"


class KubernetesCalls:
    """Sends requests to one cluster through one `ApiClient`, so through one connection pool."""

    def __init__(
        self,
        client: ApiClient,
        *,
        timeout: float = 10.0,
        connect_timeout: float = 3.0,
        renew: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Times are in seconds. `renew` reads the credentials again after a 401."""
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
        """Send one request. Returns 2xx, 404 and 409.

        Raises `TemporaryError` or `Refusal` for every other answer, and when no answer arrives.
        """
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
            if _is_of_tls(error):  # a client certificate may have been renewed
                await self._renew_credentials()
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
        timeout: aiohttp.ClientTimeout | None = None,  # noqa: ASYNC109  # aiohttp's, which holds several limits
    ) -> aiohttp.ClientResponse:
        """Send one request and return before the body is read, as watches need it. Raises the client's own errors."""
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
        """Tokens and certificates expire without notice. A 401 or a broken handshake is the first sign."""
        now = time.monotonic()
        if self._renew is None or now - self._renewed_at < _RENEWAL_PAUSE:
            return
        self._renewed_at = now
        try:
            await self._renew()
        except Exception as error:
            raise TemporaryError("unauthenticated", f"credentials could not be renewed: {error}") from error


def _is_of_tls(error: BaseException | None) -> bool:
    return error is not None and (isinstance(error, ssl.SSLError) or _is_of_tls(error.__cause__ or error.__context__))


def lost(error: Exception, *, writes: bool) -> TemporaryError:
    """Translate a client error: no answer arrived. Unless the connection failed, a write may have been performed."""
    detail = f"{type(error).__name__}: {error}"
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return TemporaryError("unreachable", detail)
    if isinstance(error, asyncio.TimeoutError):
        return TemporaryError("timeout", detail, outcome_unknown=writes)
    if isinstance(error, aiohttp.ClientError | OSError):
        return TemporaryError("connection_lost", detail, outcome_unknown=writes)
    return TemporaryError("client_error", detail, outcome_unknown=writes)


def refused(answer: Answer, *, writes: bool) -> TemporaryError | Refusal:
    """Translate an answer that is neither success nor 404 nor 409."""
    detail = answer.message()
    denied = writes and answer.status < 500 and _ADMISSION in detail  # noqa: PLR2004
    retry_after = parse_retry_after(answer.retry_after)
    match answer.status:
        case 401:
            return TemporaryError("unauthenticated", detail)
        case status if denied or status == 403:  # noqa: PLR2004
            return Refusal("admission_denied" if denied else "rbac_denied", detail)
        case 410:
            return ExpiredError("expired", detail)
        case 429:
            return TemporaryError("throttled", detail, retry_after)
        case status if status >= 500:  # noqa: PLR2004
            return TemporaryError("server_error", detail, retry_after, outcome_unknown=writes)
        case _:
            return TemporaryError("unexpected_answer", detail, retry_after, outcome_unknown=writes)
