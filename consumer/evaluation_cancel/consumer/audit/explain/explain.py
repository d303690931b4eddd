"""The use case: reads one evaluation from Postgres, Kafka and the archive.

Each source is read on its own. A source that cannot be read is named in the result, and the others are still read.
`timeline.py` turns the rows and records into entries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from evaluation_cancel.consumer.audit.explain.timeline import Entry, artifacts, timeline
from evaluation_cancel.consumer.audit.history.history import FROM_THE_START, History, OnRemark
from evaluation_cancel.consumer.audit.history.progress import Meter
from evaluation_cancel.consumer.audit.history.selection import Selection
from evaluation_cancel.consumer.domain.audit_rows import StoredEvaluation
from evaluation_cancel.consumer.domain.errors import CancellationError
from evaluation_cancel.consumer.sql import audit_reads
from evaluation_cancel.consumer.sql.database import Database
from evaluation_cancel.schemas.wire.records import RawRecord

_BEFORE: Final = timedelta(hours=1)
"""A command is in Kafka before Postgres has it. Usually for less than this; after a longer outage use --from."""


@dataclass(kw_only=True, slots=True)
class Explanation:
    """The timeline of an evaluation, and which sources it was made from."""

    evaluation_id: UUID
    stored: StoredEvaluation | None = None
    entries: list[Entry] = field(default_factory=list)
    artifacts: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    """State and report of each cleanup."""
    read: list[str] = field(default_factory=list)
    """Sources that were read to the end."""
    unread: dict[str, str] = field(default_factory=dict)
    """Sources that were not read to the end, each with the reason."""
    remarks: list[str] = field(default_factory=list)
    """Sentences about gaps in the sources."""


Open = Callable[[OnRemark], AbstractAsyncContextManager[History]]
"""Opens a history that reports its gaps to the callback."""


class Explain:
    """Explains one evaluation. `histories` has a function for each source by name; they are opened one by one."""

    def __init__(
        self,
        *,
        database: AbstractAsyncContextManager[Database],
        histories: dict[str, Open],
        topics: Sequence[str],
        patience: float,
    ) -> None:
        """`patience` is the time for each source in seconds. A source that takes longer counts as unread."""
        self._database = database
        self._histories = histories
        self._topics = topics
        self._patience = patience

    async def explain(self, evaluation_id: UUID, since: datetime | None) -> Explanation:
        """Read records from `since` on, or else from an hour before the earliest time in Postgres."""
        found = Explanation(evaluation_id=evaluation_id)

        async def read_postgres() -> None:
            async with self._database as database, database.connection() as tx:
                found.stored = await audit_reads.stored_evaluation(tx, evaluation_id)

        await self._try("postgres", read_postgres, found)
        if since is None and found.stored is not None and found.stored.begins_at is not None:
            since = found.stored.begins_at - _BEFORE
        selection = Selection(
            evaluation=evaluation_id, since_ms=None if since is None else int(since.timestamp() * 1000)
        )
        records: dict[RawRecord, list[str]] = {}
        for name, opener in self._histories.items():

            async def read_history(opener: Open = opener) -> None:
                await self._gather(opener, selection, records, found)

            await self._try(name, read_history, found)
        found.entries = timeline(found.stored, records)
        found.artifacts = list(artifacts(found.stored, records))
        return found

    async def _try(self, name: str, work: Callable[[], Awaitable[None]], found: Explanation) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await work()
        except CancellationError as error:
            found.unread[name] = str(error)
        except TimeoutError:
            found.unread[name] = f"not read to its end within {self._patience:g} s"
        else:
            found.read.append(name)

    async def _gather(
        self, opener: Open, selection: Selection, records: dict[RawRecord, list[str]], found: Explanation
    ) -> None:
        matches = selection.matcher()
        async with opener(found.remarks.append) as history:
            async for piece in history.pieces(self._topics, selection, Meter(None), FROM_THE_START):
                for record in filter(matches, piece.records):
                    records.setdefault(record, []).append(piece.key or history.name)
