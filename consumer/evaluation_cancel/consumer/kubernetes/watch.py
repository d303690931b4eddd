"""One list and watch of the labelled Jobs of a cluster and one of their pods, to learn at once when something ended.

It wakes the teardown, which asks the API server again, and it is the witness of how each pod's containers ended. Losing
it makes cancellations slower and their end presumed instead of proven, so every fault here ends in a pause and, unless
only the connection was lost, a new list. Of Jobs it asks for the metadata only. `watch_cache.py` keeps what it saw.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import aiohttp
import orjson
import structlog

from evaluation_cancel.consumer.domain.errors import CancellationError, TemporaryError
from evaluation_cancel.consumer.domain.evaluations import EVALUATION_LABEL
from evaluation_cancel.consumer.kubernetes.client import (
    METADATA_ONLY,
    WATCH_METADATA_ONLY,
    Answer,
    ExpiredError,
    KubernetesCalls,
    lost,
    refused,
)
from evaluation_cancel.consumer.kubernetes.jobs import list_page
from evaluation_cancel.consumer.kubernetes.pod_state import parse_pod
from evaluation_cancel.consumer.kubernetes.port import OnChange, evaluation_of
from evaluation_cancel.consumer.kubernetes.watch_cache import WatchCache
from evaluation_cancel.consumer.runtime.backoff import jittered_delay
from evaluation_cancel.consumer.runtime.loop import Loop

_PAGE = "500"
_LASTED = 5.0
"""Seconds after which a stream counts as good, so that the next fault is the first again."""
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_SLACK = 15.0
_log = structlog.get_logger(__name__)


@dataclass(kw_only=True, slots=True)
class _Feed:
    """One resource in one namespace, or in all."""

    kind: Literal["jobs", "pods"]
    path: str
    known: dict[str, UUID] = field(default_factory=dict)
    """The evaluation of each uid that was there when last heard of; what a new list lacks was deleted unseen."""
    version: str = ""
    connected: bool = False
    complete_since: datetime | None = None
    """Since when no change was missed: the beginning of the list that the version goes back to."""


class ClusterWatch:
    """Runs until cancelled; calls `on_change` for each evaluation of which a Job appeared or all is gone."""

    def __init__(
        self,
        calls: KubernetesCalls,
        *,
        cluster: str,
        watch_cache: WatchCache,
        on_change: OnChange,
        on_connected: Callable[[], None] = lambda: None,
        namespaces: Sequence[str] = (),
        renew_every: float = 60.0,
        label: str = EVALUATION_LABEL,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`on_connected` tells that the API server answers again; no `namespaces` means all, if rights allow."""
        self._calls = calls
        self._cluster = cluster
        self._watch_cache = watch_cache
        self._on_change = on_change
        self._on_connected = on_connected
        self._renew_every = renew_every
        self._label = label
        self._now = now
        spaces = [f"namespaces/{name}/" for name in namespaces] or [""]
        self._feeds = [
            *(_Feed(kind="jobs", path=f"/apis/batch/v1/{space}jobs") for space in spaces),
            *(_Feed(kind="pods", path=f"/api/v1/{space}pods") for space in spaces),
        ]
        for feed in self._feeds:
            if feed.kind == "pods":
                watch_cache.covers(feed.path, None)

    @property
    def connected(self) -> bool:
        """Whether every stream was alive when last heard of."""
        return all(feed.connected for feed in self._feeds)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for feed in self._feeds:
                group.create_task(self._follow(feed))

    async def _follow(self, feed: _Feed) -> None:
        """List, watch, and again. Whatever ends a stream early is followed by a pause that grows."""
        faults = 0
        while True:
            began = time.monotonic()
            try:
                if not feed.version:
                    await self._list(feed)
                async for event in self._events(feed):
                    self._apply(feed, event)
                ended: Exception | None = None
            except Exception as error:  # noqa: BLE001  # whatever it is, the slow poll goes on meanwhile
                ended = error
                if not isinstance(error, ExpiredError):
                    feed.connected = False
                if not _keeps_version(error):
                    feed.version = ""
            lasted = time.monotonic() - began >= min(_LASTED, self._renew_every / 2)
            faults = 0 if lasted and ended is None else 1 if lasted else faults + 1
            if ended is not None:
                self._tell(feed, ended, faults)
            if faults:
                if feed.kind == "pods":
                    self._watch_cache.covers(feed.path, None)
                await asyncio.sleep(jittered_delay(faults, base=_FIRST_PAUSE, cap=_LONGEST_PAUSE, least_share=0.5))

    def _tell(self, feed: _Feed, error: Exception, faults: int) -> None:
        code = error.code if isinstance(error, CancellationError) else type(error).__name__
        if faults == 1 or faults % 10 == 0:
            _log.warning(
                "The watch was lost, so ends of Jobs are noticed by the slow poll only.",
                action="watch_lost",
                cluster=self._cluster,
                resource=feed.kind,
                code=code,
                detail=str(error)[:300],
                faults=faults,
            )

    async def _list(self, feed: _Feed) -> None:
        """All that is there now; what was known and is not there any more ended meanwhile."""
        found: set[str] = set()
        proceed = ""
        began = self._now()
        while True:
            query = [("labelSelector", self._label), ("limit", _PAGE)]
            if proceed:
                query.append(("continue", proceed))
            accept = METADATA_ONLY if feed.kind == "jobs" else "application/json"
            page = list_page(await self._calls.call("GET", feed.path, query=query, accept=accept))
            for item in page["items"] or ():
                found.add(item["metadata"]["uid"])
                self._seen(feed, item)
            proceed = page["metadata"].get("continue") or ""
            if not proceed:
                break
        for uid in feed.known.keys() - found:
            self._gone(feed, uid, None)
        feed.version = page["metadata"]["resourceVersion"]
        feed.complete_since = began
        self._connected(feed)

    def _connected(self, feed: _Feed) -> None:
        if feed.kind == "pods":
            self._watch_cache.covers(feed.path, feed.complete_since)
        if not feed.connected:
            feed.connected = True
            self._on_connected()

    async def _events(self, feed: _Feed) -> AsyncIterator[dict[str, Any]]:
        """The events from `feed.version` on, until the server ends the stream, which it is asked to do soon.

        A short life is what finds a dead link: nothing at all may be said in it, bookmarks included.
        """
        query = [
            ("labelSelector", self._label),
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", feed.version),
            ("timeoutSeconds", str(max(1, int(self._renew_every)))),
        ]
        patience = aiohttp.ClientTimeout(sock_connect=5, sock_read=self._renew_every + _SLACK)
        try:
            response = await self._calls.open(
                "GET",
                feed.path,
                query=query,
                accept=WATCH_METADATA_ONLY if feed.kind == "jobs" else "application/json",
                timeout=patience,
            )
            async with response:
                if response.status != 200:  # noqa: PLR2004
                    body = await response.read()
                    retry_after = response.headers.get("Retry-After")
                    raise refused(Answer(status=response.status, retry_after=retry_after, body=body), writes=False)
                self._connected(feed)
                async for line in response.content:
                    yield orjson.loads(line)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise lost(error, writes=False) from error

    def _apply(self, feed: _Feed, event: dict[str, Any]) -> None:
        item = event["object"]
        if event["type"] == "ERROR":
            if item.get("code") == 410:  # noqa: PLR2004
                raise ExpiredError("expired", str(item.get("message", "")))
            raise TemporaryError("watch_error", str(item.get("message", "")))
        feed.version = item["metadata"]["resourceVersion"]
        if event["type"] == "DELETED":
            self._gone(feed, item["metadata"]["uid"], item)
        elif event["type"] in {"ADDED", "MODIFIED"}:
            self._seen(feed, item)

    def _seen(self, feed: _Feed, item: dict[str, Any]) -> None:
        metadata = item["metadata"]
        uid = metadata["uid"]
        label = str((metadata.get("labels") or {}).get(self._label, ""))
        evaluation_id = evaluation_of(label)
        if evaluation_id is None:
            return
        if feed.kind == "pods":
            self._watch_cache.pod_seen(parse_pod(item, self._label), evaluation_id)
        elif uid not in feed.known:
            self._watch_cache.job_seen(uid, evaluation_id, label)
            self._on_change(evaluation_id, "appeared")
        feed.known[uid] = evaluation_id

    def _gone(self, feed: _Feed, uid: str, item: dict[str, Any] | None) -> None:
        evaluation_id = feed.known.pop(uid, None)
        if evaluation_id is None:
            return
        if feed.kind == "jobs":
            ended = self._watch_cache.job_gone(uid, evaluation_id)
        else:
            last = None if item is None else parse_pod(item, self._label)
            ended = self._watch_cache.pod_gone(uid, evaluation_id, last)
        if ended:
            self._on_change(evaluation_id, "ended")


def _keeps_version(error: Exception) -> bool:
    """Only a lost connection leaves no doubt about the version; after anything else the next stream begins anew."""
    return isinstance(error, TemporaryError) and error.code in {"unreachable", "timeout", "connection_lost"}


class UntilStopped(Loop):
    """Runs a watch as a loop. A watch has no work in flight, so stopping cancels it."""

    def __init__(self, watch: ClusterWatch) -> None:
        super().__init__()
        self._watch = watch
        self._watching: asyncio.Task[None] | None = None
        # A lost watch only makes cancellations slower, which is no reason to restart the process.
        self.progressed_at = math.inf

    def stop(self) -> None:
        """Cancels the watch; `run` returns once it has ended."""
        super().stop()
        if self._watching is not None:
            self._watching.cancel()

    async def run(self) -> None:
        """Watches until stopped; raises the watch's own error."""
        if self._stopping:
            return
        watching = self._watching = asyncio.create_task(self._watch.run())
        try:
            await asyncio.wait([watching])
            if not self._stopping:
                watching.result()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
