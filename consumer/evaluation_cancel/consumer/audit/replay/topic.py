"""Output of a replay to another topic, for services that start later. Records keep ids and sequence and get a mark.

Sending is limited in rate and can be resumed: after each piece the progress file is updated. An interrupted replay
continues from there, so records after the last update are sent again; consumers ignore ids that they have seen.
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
"""Header of replayed records only: `topic/partition/offset` of the original."""
ODD_HEADERS: Final = "evaluation_cancel_odd_headers"
"""Header with a JSON list of base64 pairs: the original headers whose names are not UTF-8 or that have no value."""
_AT_ONCE: Final = 500
_TRIES: Final = 8


class Sender(Protocol):
    """The producer. `kafka/event_producer.py` implements it."""

    async def send(self, records: Sequence[Record]) -> list[SendResult]: ...

    async def renew(self) -> None: ...


class TopicOutput:
    """Sends records in order, at most `rate` per second."""

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
        """Send the records until all are acknowledged, then update the progress file."""
        at_once = max(1, min(_AT_ONCE, int(self._rate)))
        for begin in range(0, len(records), at_once):
            chunk = records[begin : begin + at_once]
            await self._wait(len(chunk))
            await self._send([Record(self._topic, r.key, r.value, replayed_headers(r)) for r in chunk])
        if self._progress is not None:
            self._progress.note(piece)

    async def _wait(self, count: int) -> None:
        """Wait until the rate allows `count` more records. Unused time is not saved up."""
        now = time.monotonic()
        if self._due > now:
            await self._sleep(self._due - now)
        self._due = max(self._due, now) + count / self._rate

    async def _send(self, chunk: Sequence[Record]) -> None:
        """Send until all are acknowledged. After an unclear result the rest of the chunk is sent again, in order."""
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
        raise TemporaryError(
            "kafka_unavailable", f"{self._topic} did not acknowledge all records; run it again to continue"
        )


def replayed_headers(record: RawRecord) -> Headers:
    """The headers of the original in their order, and the mark."""
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
    """The progress of one replay. It also stores the options of the replay, and refuses others."""

    def __init__(self, path: Path, options: Mapping[str, Any], selection: Selection) -> None:
        """`options` are source, target and filters as given on the command line, as JSON."""
        self._path = path
        self._options = dict(options)
        self.selection = selection
        """After `load` with the times to which ages like 36h were resolved when the replay began."""
        self._positions: dict[str, int] = {}
        self._after: str | None = None
        self._ends: dict[str, int] | None = None

    def load(self) -> Resume:
        """Read the file, if it exists. Raises `Refusal` for the file of another replay."""
        try:
            noted = json.loads(self._path.read_text())
        except FileNotFoundError:
            return Resume()
        except (OSError, ValueError) as error:
            raise Refusal("unreadable_progress", f"{self._path}: {error}") from error
        if not isinstance(noted, dict) or noted.get("asked") != self._options:
            raise Refusal("other_replay", f"{self._path} is of a replay with other options; use another file")
        try:
            return self._resumed(noted)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Refusal("unreadable_progress", f"{self._path}: {type(error).__name__}: {error}") from error

    def _resumed(self, noted: Mapping[str, Any]) -> Resume:
        self._positions, self._after, self._ends = dict(noted["positions"]), noted["behind"], noted["ends"]
        self.selection = replace(self.selection, since_ms=noted["since_ms"], before_ms=noted["before_ms"])
        ends = None if self._ends is None else _by_partition(self._ends)
        return Resume(positions=_by_partition(self._positions), after=self._after, ends=ends)

    def note(self, piece: Piece) -> None:
        """Store that all records of this piece are acknowledged."""
        if piece.key is not None:
            self._after = piece.key
            self._ends = self._ends or {f"{t}/{p}": first for (t, p), first in (piece.ends or {}).items()}
        else:
            self._positions[f"{piece.partition[0]}/{piece.partition[1]}"] = piece.position
        noted = {
            "asked": self._options,
            "since_ms": self.selection.since_ms,
            "before_ms": self.selection.before_ms,
            "positions": self._positions,
            "behind": self._after,
            "ends": self._ends,
        }
        unfinished = self._path.with_name(self._path.name + ".unfinished")
        unfinished.write_text(json.dumps(noted, indent=1))
        unfinished.replace(self._path)


def _by_partition(noted: Mapping[str, int]) -> dict[Partition, int]:
    split = ((place.rpartition("/"), offset) for place, offset in noted.items())
    return {(topic, int(partition)): int(offset) for (topic, _, partition), offset in split}
