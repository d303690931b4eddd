"""The slow sweep: decides commands left undecided, warns of unclaimed cancellations, and deletes old history.

Expired claims need no sweep: a row whose lease has ended is due again. `late_jobs.py` sweeps late Jobs. Every step is
one set-based statement or one transaction, safe to run in several processes at once and to be killed in.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from evaluation_cancel.consumer.intake.decide import Decided, DecisionService
from evaluation_cancel.consumer.runtime.loop import Loop
from evaluation_cancel.consumer.sql import reads, retention
from evaluation_cancel.consumer.sql.database import Database

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepLimits:
    """How often and how much."""

    poll: float = 0.5
    """Seconds between tries to decide undecided commands: how long they wait once their lock is released."""
    every: float = 60.0
    """Seconds between checks for unclaimed cancellations and for old history."""
    silence: float = 600.0
    """Seconds between two log lines about unclaimed cancellations."""
    batch: int = 1000
    inbox_days: int = 30
    """Longer than any topic keeps a command, so that every duplicate is recognised."""
    outbox_days: int = 30


class Reconcile(Loop):
    """The loop. `on_decided` is called after undecided commands were decided, as in intake."""

    def __init__(
        self,
        *,
        database: Database,
        decide: DecisionService,
        on_decided: Callable[[Decided, int], None],
        limits: SweepLimits | None = None,
    ) -> None:
        super().__init__()
        self._database = database
        self._decide = decide
        self._on_decided = on_decided
        self._limits = limits or SweepLimits()

    async def run(self) -> None:
        """Sweeps until stopped. Raises `TemporaryError`: run it again after a pause."""
        swept_at = 0.0
        look_at = time.monotonic() + self._limits.every  # right after an outage much is due that is about to be claimed
        while self.next_round():
            await self._decide_left_over()
            if time.monotonic() - swept_at > self._limits.every:
                swept_at = time.monotonic()
                await self._forget()
            if time.monotonic() > look_at:
                logged = await self._log_unclaimed()
                look_at = time.monotonic() + (self._limits.silence if logged else self._limits.every)
            self.progressed()
            await self.wait(self._limits.poll)

    async def _decide_left_over(self) -> None:
        decided = await self._decide.left_over(self._limits.batch)
        if decided.counts:
            self._on_decided(decided, 0)

    async def _log_unclaimed(self) -> bool:
        async with self._database.connection() as tx:
            unclaimed = await reads.unclaimed(tx)
        if unclaimed:
            _log.warning(
                "Cancellations have been due for minutes: no running consumer claims those of these clusters.",
                action="unclaimed",
                clusters={name or "none": count for name, count in unclaimed.items()},
            )
        return bool(unclaimed)

    async def _forget(self) -> None:
        """Deletes what is older than its retention, a batch at a time. Cancellations are kept: they are the record."""
        batch = self._limits.batch * 10
        async with self._database.transaction() as tx:
            commands = await retention.forget_commands(tx, timedelta(days=self._limits.inbox_days), batch)
        async with self._database.transaction() as tx:
            messages = await retention.forget_messages(tx, timedelta(days=self._limits.outbox_days), batch)
        if commands or messages:
            _log.info(
                "History older than its retention was deleted.",
                action="retention",
                commands=commands,
                messages=messages,
            )
