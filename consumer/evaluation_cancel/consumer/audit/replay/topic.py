"""Replays onto another topic, for a service that begins later: original ids and sequence kept, marked as replayed.

Slowly, and resumable: what has been acknowledged is noted in a progress file after each piece, so that an interrupted
replay goes on there. What was sent after the last note is sent again; a reader ignores an id it has seen.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

import orjson

from evaluation_cancel.consumer.audit.history.history import Piece, Resume
from evaluation_cancel.consumer.audit.history.selection import Selection
from evaluation_cancel.consumer.audit.kafka.reading import Partition
from evaluation_cancel.consumer.domain.errors import Refusal, TemporaryError
from evaluation_cancel.consumer.outbox.ports import Record, Refused, SendResult, Sent
from evaluation_cancel.schemas.wire.records import Headers, RawRecord

REPLAYED: Final = "evaluation_cancel_replayed"
"""Header with `topic/partition/offset` of the original: on every replayed record and on no other."""
ODD_HEADERS: Final = "evaluation_cancel_odd_headers"
"""Header with a JSON list of base64 pairs: originals whose names are no UTF-8, which clients do not send."""
_AT_ONCE: Final = 500
_TRIES: Final = 8


class Sender(Protocol):
    async def send(self, records: Sequence[Record]) -> list[SendResult]: ...

    async def renew(self) -> None: ...


class TopicOutput:
    """Sends in order, at most `rate` a second."""

    def __init__(
        self,
        *,
        sender: Sender,
        topic: str,
        rate: float,
        progress_file: ProgressFile | None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sender = sender
        self._topic = topic
        self._rate = rate
        self._progress = progress_file
        self._sleep = sleep
        self._due = time.monotonic()

    async def write(self, records: Sequence[RawRecord], piece: Piece) -> None:
        at_once = max(1, min(_AT_ONCE, int(self._rate)))
        for begin in range(0, len(records), at_once):
            chunk = records[begin : begin + at_once]
            await self._wait(len(chunk))
            await self._send([Record(self._topic, r.key, r.value, replayed_headers(r)) for r in chunk])
        if self._progress is not None:
            self._progress.note(piece)

    async def _wait(self, count: int) -> None:
        """Spaces the chunks out; what was not used is not saved up."""
        now = time.monotonic()
        if self._due > now:
            await self._sleep(self._due - now)
        self._due = max(self._due, now) + count / self._rate

    async def _send(self, chunk: Sequence[Record]) -> None:
        """Until all are acknowledged. After a doubt the rest of the chunk is sent again, in order."""
        for attempt in range(_TRIES):
            results = await self._sender.send(chunk)
            refused = next((r for r in results if isinstance(r, Refused)), None)
            if refused is not None:
                raise Refusal(refused.code, f"the broker refuses a record for {self._topic}: {refused.detail}")
            sent = next((n for n, r in enumerate(results) if not isinstance(r, Sent)), len(results))
            chunk = chunk[sent:]
            if not chunk:
                return
            await self._sender.renew()
            await self._sleep(min(5.0, 0.2 * 2**attempt))
        raise TemporaryError("kafka_unavailable", f"{self._topic} has not acknowledged; run it again to go on")


def replayed_headers(record: RawRecord) -> Headers:
    """The original's, in order, and the mark."""
    headers: Headers = []
    odd = []
    for name, text in record.headers:
        if text is None or not _is_utf8(name):
            raw = name.encode("utf-8", "surrogateescape")
            odd.append([base64.b64encode(raw).decode(), None if text is None else base64.b64encode(text).decode()])
        elif name not in (REPLAYED, ODD_HEADERS):
            headers.append((name, text))
    if odd:
        headers.append((ODD_HEADERS, orjson.dumps(odd)))
    headers.append((REPLAYED, f"{record.topic}/{record.partition}/{record.offset}".encode()))
    return headers


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class ProgressFile:
    """How far a replay has come. Belongs to one replay: what it was asked is noted too, and held against."""

    def __init__(self, path: Path, asked: Mapping[str, Any], selection: Selection) -> None:
        """`asked`: source, target and filters as they were asked for, as JSON."""
        self._path = path
        self._asked = dict(asked)
        self.selection = selection
        """After `load`, with the moments that an age like 36h meant when the replay began."""
        self._positions: dict[str, int] = {}
        self._behind: str | None = None
        self._ends: dict[str, int] | None = None

    def load(self) -> Resume:
        """Raises `Refusal` for a file of another replay."""
        try:
            noted = json.loads(self._path.read_text())
        except FileNotFoundError:
            return Resume()
        except (OSError, ValueError) as error:
            raise Refusal("unreadable_progress", f"{self._path}: {error}") from error
        if not isinstance(noted, dict) or noted.get("asked") != self._asked:
            raise Refusal(
                "other_replay", f"{self._path} is of a replay that was asked for otherwise; name another file"
            )
        try:
            return self._resumed(noted)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Refusal("unreadable_progress", f"{self._path}: {type(error).__name__}: {error}") from error

    def _resumed(self, noted: Mapping[str, Any]) -> Resume:
        self._positions, self._behind, self._ends = dict(noted["positions"]), noted["behind"], noted["ends"]
        self.selection = replace(self.selection, since_ms=noted["since_ms"], before_ms=noted["before_ms"])
        ends = None if self._ends is None else _by_partition(self._ends)
        return Resume(positions=_by_partition(self._positions), behind=self._behind, ends=ends)

    def note(self, piece: Piece) -> None:
        """Everything of this piece is acknowledged."""
        if piece.key is not None:
            self._behind = piece.key
            self._ends = self._ends or {f"{t}/{p}": first for (t, p), first in (piece.ends or {}).items()}
        else:
            self._positions[f"{piece.partition[0]}/{piece.partition[1]}"] = piece.position
        noted = {
            "asked": self._asked,
            "since_ms": self.selection.since_ms,
            "before_ms": self.selection.before_ms,
            "positions": self._positions,
            "behind": self._behind,
            "ends": self._ends,
        }
        unfinished = self._path.with_name(self._path.name + ".unfinished")
        unfinished.write_text(json.dumps(noted, indent=1))
        unfinished.replace(self._path)


def _by_partition(noted: Mapping[str, int]) -> dict[Partition, int]:
    split = ((place.rpartition("/"), offset) for place, offset in noted.items())
    return {(topic, int(partition)): int(offset) for (topic, _, partition), offset in split}
