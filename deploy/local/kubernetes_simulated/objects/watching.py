"""Watches: a line of JSON for every change after a version, in the order of versions.

With a selector, an object that begins to match is ADDED and one that no longer matches is DELETED. A version that
history has forgotten gets one ERROR line with code 410 inside a 200, as the real watch cache answers.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import orjson
from aiohttp import web

from deploy.local.kubernetes_simulated.objects.listing import selection, version_problem
from deploy.local.kubernetes_simulated.objects.resources import JOBS, PODS, Object, Resource
from deploy.local.kubernetes_simulated.objects.selectors import Test
from deploy.local.kubernetes_simulated.objects.status import bad_watch_version, expired
from deploy.local.kubernetes_simulated.objects.store import Change, Store

_DEFAULT_TIMEOUT = 1800.0
_BOOKMARK_BEFORE_END = 2.0
_LOOK_FOR_DISCONNECT = 1.0
_HUSKS: dict[Resource, Object] = {
    JOBS: {"spec": {"template": {"metadata": {}, "spec": {"containers": None}}}, "status": {}},
    PODS: {"spec": {"containers": None}, "status": {}},
}
"""What is left of the object of a bookmark, which has a version only."""


@dataclass(kw_only=True, slots=True, eq=False)
class Watcher:
    """One open watch. `None` in its queue ends it."""

    resource: Resource
    namespace: str
    test: Test | None
    bookmarks: bool
    queue: asyncio.Queue[Change | None] = field(default_factory=asyncio.Queue)
    abort: bool = False
    sent: int = 0

    def observe(self, change: Change) -> None:
        if change.resource is self.resource:
            self.queue.put_nowait(change)

    def lines(self, changes: Iterable[Change]) -> Iterator[bytes]:
        for change in changes:
            self.sent = max(self.sent, change.version)
            kind = self._kind(change)
            if kind == "DELETED" and change.kind != "DELETED" and change.previous is not None:
                # It left the selection: told is the last state inside it, with the version at which it left.
                metadata = {**change.previous["metadata"], "resourceVersion": str(change.version)}
                yield event(kind, self.resource, {**change.previous, "metadata": metadata})
            elif kind is not None:
                yield event(kind, self.resource, change.object)

    def _kind(self, change: Change) -> str | None:
        if self.namespace and change.object["metadata"].get("namespace") != self.namespace:
            return None
        if self.test is None:
            return change.kind
        now = change.kind != "DELETED" and self.test(change.object)
        before = change.previous is not None and self.test(change.previous)
        if now:
            return "MODIFIED" if before else "ADDED"
        return "DELETED" if before else None


class Watches:
    """All open watches of a server, so that they can be ended together."""

    def __init__(self, store: Store) -> None:
        self.bookmark_every = 60.0
        """Seconds between bookmarks; one more comes two seconds before a watch's own end."""
        self._store = store
        self._open: set[Watcher] = set()
        self._telling = asyncio.Event()
        self._telling.set()

    def __len__(self) -> int:
        return len(self._open)

    def pause(self) -> None:
        """Keep every watch open and tell it nothing, as behind a connection that is dead without knowing it."""
        self._telling.clear()

    def resume(self) -> None:
        self._telling.set()

    def close(self, *, abruptly: bool = False) -> int:
        """End every watch: by a clean end of the stream, or by cutting the connection."""
        for watcher in self._open:
            watcher.abort = abruptly
            watcher.queue.put_nowait(None)
        self.resume()
        return len(self._open)

    async def serve(
        self, request: web.BaseRequest, resource: Resource, namespace: str, query: Mapping[str, str]
    ) -> web.StreamResponse:
        watcher = Watcher(
            resource=resource,
            namespace=namespace,
            test=selection(resource, query),
            bookmarks=query.get("allowWatchBookmarks", "").lower() in ("1", "true"),
        )
        first, fatal = self._first(watcher, query)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        unsubscribe = self._store.subscribe(watcher.observe)
        self._open.add(watcher)
        try:
            await response.prepare(request)
            await response.write(b"".join(first))
            if not fatal:
                await self._follow(request, response, watcher, float(query.get("timeoutSeconds") or _DEFAULT_TIMEOUT))
            with contextlib.suppress(ConnectionError):
                await response.write_eof()
        except ConnectionError:
            pass
        finally:
            self._open.discard(watcher)
            unsubscribe()
        return response

    def _first(self, watcher: Watcher, query: Mapping[str, str]) -> tuple[list[bytes], bool]:
        """What is due at once, and whether that is all there will be."""
        asked = query.get("resourceVersion", "")
        if asked and not asked.isdecimal():
            raise bad_watch_version(version_problem(asked))
        version = int(asked or 0)
        if version and not self._store.remembers(version):
            body = expired(f"too old resource version: {version} ({self._store.version})").body
            return [orjson.dumps({"type": "ERROR", "object": body}) + b"\n"], True
        if version:
            return list(watcher.lines(self._store.changes_of(watcher.resource, version))), False
        watcher.sent = self._store.version
        items = self._store.items(watcher.resource, watcher.namespace)
        chosen = items if watcher.test is None else filter(watcher.test, items)
        lines = [event("ADDED", watcher.resource, obj) for obj in chosen]
        if query.get("sendInitialEvents", "").lower() in ("1", "true"):
            lines.append(self._bookmark(watcher, {"k8s.io/initial-events-end": "true"}))
        return lines, False

    async def _follow(
        self, request: web.BaseRequest, response: web.StreamResponse, watcher: Watcher, duration: float
    ) -> None:
        end = time.monotonic() + duration
        bookmark_at = min(time.monotonic() + self.bookmark_every, end - _BOOKMARK_BEFORE_END)
        while (left := end - time.monotonic()) > 0:
            changes, ended = await _next(watcher, min(left, _LOOK_FOR_DISCONNECT, self.bookmark_every))
            await self._telling.wait()
            if ended and watcher.abort:
                if request.transport is not None:
                    request.transport.abort()
                raise ConnectionResetError
            if lines := list(watcher.lines(changes)):
                await response.write(b"".join(lines))
            if ended or request.transport is None:
                return
            if watcher.bookmarks and time.monotonic() >= bookmark_at and watcher.queue.empty():
                await response.write(self._bookmark(watcher))
                soon = time.monotonic() + self.bookmark_every
                before_end = end - _BOOKMARK_BEFORE_END
                bookmark_at = min(soon, before_end) if time.monotonic() < before_end else end

    def _bookmark(self, watcher: Watcher, annotations: dict[str, str] | None = None) -> bytes:
        metadata: Object = {"resourceVersion": str(self._store.version)}
        if annotations:
            metadata["annotations"] = annotations
        return event("BOOKMARK", watcher.resource, {"metadata": metadata, **_HUSKS.get(watcher.resource, {})})


def event(kind: str, resource: Resource, obj: Object) -> bytes:
    named = {"kind": resource.kind, "apiVersion": resource.api_version, **obj}
    return orjson.dumps({"type": kind, "object": named}) + b"\n"


async def _next(watcher: Watcher, patience: float) -> tuple[list[Change], bool]:
    """The changes that have come, waiting a while for the first, and whether the watch is to end."""
    changes: list[Change] = []
    try:
        change = await asyncio.wait_for(watcher.queue.get(), patience)
        while True:
            if change is None:
                return changes, True
            changes.append(change)
            change = watcher.queue.get_nowait()
    except (TimeoutError, asyncio.QueueEmpty):
        return changes, False
