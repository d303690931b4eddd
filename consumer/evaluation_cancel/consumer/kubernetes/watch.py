"""One list and watch of the labelled Jobs of a cluster and one of their pods, to learn at once when something ended.

It only wakes the teardown, which asks the API server again. Losing it makes cancellations slower, never wrong, so every
fault here ends in a pause and a new list. Only names, labels and owners are asked for, so that even a cluster with
many running evaluations costs little. What it saw is kept in `watch_cache.py`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

import aiohttp
import orjson
import structlog

from evaluation_cancel.consumer.domain.errors import CancellationError, TemporaryError
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
from evaluation_cancel.consumer.kubernetes.port import EVALUATION_LABEL, OnChange
from evaluation_cancel.consumer.kubernetes.watch_cache import WatchCache
from evaluation_cancel.consumer.runtime.backoff import jittered_delay
from evaluation_cancel.consumer.runtime.loop import Loop

_UID_LABELS = ("batch.kubernetes.io/controller-uid", "controller-uid")
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_SLACK = 15.0
_log = structlog.get_logger(__name__)


@dataclass(kw_only=True, slots=True)
class _Feed:
    """One resource in one namespace, or in all."""

    kind: Literal["jobs", "pods"]
    path: str
    known: set[str] = field(default_factory=set)
    """Uids alive when last heard of; what a new list no longer has was deleted unseen."""
    owners: dict[str, str] = field(default_factory=dict)
    """Of a pod, its Job's uid."""
    version: str = ""
    connected: bool = False


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
    ) -> None:
        """`on_connected` tells that the API server answers again; no `namespaces` means all, if rights allow."""
        self._calls = calls
        self._cluster = cluster
        self._watch_cache = watch_cache
        self._on_change = on_change
        self._on_connected = on_connected
        self._renew_every = renew_every
        spaces = [f"namespaces/{name}/" for name in namespaces] or [""]
        self._feeds = [
            *(_Feed(kind="jobs", path=f"/apis/batch/v1/{space}jobs") for space in spaces),
            *(_Feed(kind="pods", path=f"/api/v1/{space}pods") for space in spaces),
        ]

    @property
    def connected(self) -> bool:
        """Whether every stream was alive when last heard of."""
        return all(feed.connected for feed in self._feeds)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for feed in self._feeds:
                group.create_task(self._follow(feed))

    async def _follow(self, feed: _Feed) -> None:
        """List, watch, and again; an expired version lists anew at once, every other fault after a pause."""
        faults = 0
        while True:
            try:
                if not feed.version:
                    await self._list(feed)
                async for event in self._events(feed):
                    faults = 0
                    self._apply(feed, event)
            except ExpiredError:
                feed.version = ""
            except Exception as error:  # noqa: BLE001  # whatever it is, the slow poll goes on meanwhile
                feed.connected = False
                faults += 1
                self._tell(feed, error, faults)
                if not isinstance(error, TemporaryError):
                    feed.version = ""
                await asyncio.sleep(jittered_delay(faults, base=_FIRST_PAUSE, cap=_LONGEST_PAUSE, least_share=0.5))
            else:
                faults = 0

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
        while True:
            query = [("labelSelector", EVALUATION_LABEL), ("limit", "500")]
            if proceed:
                query.append(("continue", proceed))
            page = list_page(await self._calls.call("GET", feed.path, query=query, accept=METADATA_ONLY))
            for item in page["items"] or ():
                found.add(item["metadata"]["uid"])
                self._seen(feed, item["metadata"])
            proceed = page["metadata"].get("continue") or ""
            if not proceed:
                break
        for uid in feed.known - found:
            self._gone(feed, uid)
        feed.version = page["metadata"]["resourceVersion"]
        self._connected(feed)

    def _connected(self, feed: _Feed) -> None:
        if not feed.connected:
            feed.connected = True
            self._on_connected()

    async def _events(self, feed: _Feed) -> AsyncIterator[dict[str, Any]]:
        """The events from `feed.version` on, until the server ends the stream, which it is asked to do soon.

        A short life is what finds a dead link: nothing at all may be said in it, bookmarks included.
        """
        query = [
            ("labelSelector", EVALUATION_LABEL),
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", feed.version),
            ("timeoutSeconds", str(max(1, int(self._renew_every)))),
        ]
        patience = aiohttp.ClientTimeout(sock_connect=5, sock_read=self._renew_every + _SLACK)
        try:
            response = await self._calls.open(
                "GET", feed.path, query=query, accept=WATCH_METADATA_ONLY, timeout=patience
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
            self._gone(feed, item["metadata"]["uid"])
        elif event["type"] in {"ADDED", "MODIFIED"}:
            self._seen(feed, item["metadata"])

    def _seen(self, feed: _Feed, metadata: dict[str, Any]) -> None:
        uid = metadata["uid"]
        evaluation_id = _evaluation_of(metadata)
        if evaluation_id is None or uid in feed.known:
            return
        if feed.kind == "jobs":
            self._watch_cache.job_seen(uid, evaluation_id)
            self._on_change(evaluation_id, "appeared")
        elif (job_uid := _job_of(metadata)) is not None:
            feed.owners[uid] = job_uid
            self._watch_cache.pod_seen(job_uid, uid, metadata["name"], evaluation_id)
        feed.known.add(uid)

    def _gone(self, feed: _Feed, uid: str) -> None:
        if uid not in feed.known:
            return
        feed.known.discard(uid)
        if feed.kind == "jobs":
            ended = self._watch_cache.job_gone(uid)
        else:
            owner = feed.owners.pop(uid, None)
            ended = self._watch_cache.pod_gone(owner, uid) if owner else None
        if ended is not None:
            self._on_change(ended, "ended")


def _evaluation_of(metadata: dict[str, Any]) -> UUID | None:
    try:
        return UUID((metadata.get("labels") or {}).get(EVALUATION_LABEL, ""))
    except ValueError:
        return None


def _job_of(metadata: dict[str, Any]) -> str | None:
    labels = metadata.get("labels") or {}
    named = next((labels[name] for name in _UID_LABELS if name in labels), None)
    if named:
        return str(named)
    owners = metadata.get("ownerReferences") or ()
    return next((str(o["uid"]) for o in owners if o.get("controller") and o.get("kind") == "Job"), None)


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
