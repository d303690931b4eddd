"""Explains one evaluation: gathers its rows and records from Postgres, Kafka and the archive.

Each source is asked on its own: one that is away takes nothing from the others, and is named. What the rows and records
tell is `timeline.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from evaluation_cancel.consumer.audit.explain.timeline import Entry, StoredStory, artifacts, tell
from evaluation_cancel.consumer.audit.history.history import FROM_THE_START, History
from evaluation_cancel.consumer.audit.history.progress import Meter
from evaluation_cancel.consumer.audit.history.selection import Selection
from evaluation_cancel.consumer.domain.errors import CancellationError
from evaluation_cancel.consumer.sql import audit_reads
from evaluation_cancel.consumer.sql.database import Database
from evaluation_cancel.schemas.wire.records import RawRecord

_BEFORE: Final = timedelta(hours=1)
"""Commands lie in Kafka before Postgres hears of them: for so long, or longer after an outage, which --from covers."""


@dataclass(kw_only=True, slots=True)
class Explanation:
    """The story, and what it is made of."""

    evaluation_id: UUID
    stored: StoredStory | None = None
    entries: list[Entry] = field(default_factory=list)
    artifacts: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    """State and report of each cleanup."""
    read: list[str] = field(default_factory=list)
    """Sources that were read to the end."""
    unread: dict[str, str] = field(default_factory=dict)
    """Sources that were not, and why."""
    remarks: list[str] = field(default_factory=list)
    """What the sources said of themselves."""


Open = Callable[[Callable[[str], None]], AbstractAsyncContextManager[History]]


class Explain:
    """The use case. `histories` are opened one after the other, by name, each with a place for its remarks."""

    def __init__(
        self,
        *,
        database: AbstractAsyncContextManager[Database],
        histories: dict[str, Open],
        topics: Sequence[str],
        patience: float,
    ) -> None:
        """`patience`: seconds for each history; a long one is then read in part, and that is said."""
        self._database = database
        self._histories = histories
        self._topics = topics
        self._patience = patience

    async def explain(self, evaluation_id: UUID, since: datetime | None) -> Explanation:
        found = Explanation(evaluation_id=evaluation_id)

        async def ask_postgres() -> None:
            found.stored = await self._stored(evaluation_id)

        await self._ask("postgres", ask_postgres, found)
        if since is None and found.stored is not None and found.stored.begins_at is not None:
            since = found.stored.begins_at - _BEFORE
        selection = Selection(
            evaluation=evaluation_id, since_ms=None if since is None else int(since.timestamp() * 1000)
        )
        records: dict[RawRecord, list[str]] = {}
        for name, opener in self._histories.items():

            async def ask_history(opener: Open = opener) -> None:
                await self._gather(opener, selection, records, found)

            await self._ask(name, ask_history, found)
        found.entries = tell(found.stored, records)
        found.artifacts = list(artifacts(found.stored, records))
        return found

    async def _ask(self, name: str, work: Callable[[], Awaitable[None]], found: Explanation) -> None:
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

    async def _stored(self, evaluation_id: UUID) -> StoredStory:
        ids = [evaluation_id]
        async with self._database as database, database.connection() as tx:
            evaluations = await audit_reads.evaluations(tx, ids)
            cancellations = await audit_reads.cancellations(tx, ids)
            return StoredStory(
                evaluation=evaluations[0] if evaluations else None,
                commands=await audit_reads.commands(tx, ids),
                cancellations=cancellations,
                errors=await audit_reads.errors(tx, [row["id"] for row in cancellations]),
                messages=await audit_reads.messages(tx, ids),
                held_reports=await audit_reads.held_reports(tx, ids),
            )
