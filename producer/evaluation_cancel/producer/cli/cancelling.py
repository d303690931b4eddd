"""Cancels several evaluations at once and waits for their outcomes on request: the use case of the command line.

`progress.py` shows the rows. `publisher.py` sends the commands and `outcomes.py` reads their outcomes.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from uuid import UUID

from evaluation_cancel.producer.errors import PublishError, PublishUnknown
from evaluation_cancel.producer.publisher import Publisher
from evaluation_cancel.producer.tracking import FollowedCommand, Outcome, Tracker
from evaluation_cancel.schemas.commands import RequestedBy

AT_ONCE: Final = 500
"""Commands on their way to Kafka at one time."""


class State(StrEnum):
    """What is known of one command."""

    PUBLISHING = "publishing"
    PUBLISHED = "published"
    """Kafka has it. The last word unless the outcome is waited for."""
    ACCEPTED = "accepted"
    """Decided, and being carried out."""
    CANCELLED = "cancelled"
    ALREADY_CANCELLED = "already cancelled"
    REJECTED = "rejected"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """Kafka did not acknowledge it in time; it may have arrived."""
    TIMED_OUT = "no outcome yet"


GOOD: Final = frozenset({State.CANCELLED, State.ALREADY_CANCELLED})
REFUSED: Final = frozenset({State.REJECTED, State.FAILED})


@dataclass(kw_only=True, slots=True, eq=False)
class Progress:
    """One evaluation's row on the screen; changes as more is known."""

    evaluation_id: UUID
    command_id: str
    state: State = State.PUBLISHING
    code: str | None = None
    detail: str | None = None
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None

    def become(self, state: State, code: str | None = None, detail: str | None = None) -> None:
        self.state, self.code, self.detail = state, code, detail

    @property
    def seconds(self) -> float:
        return (self.ended or time.monotonic()) - self.started


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What is the same for all the evaluations of one call."""

    requested_by: RequestedBy
    reason: str | None = None
    cleanup_artifacts: bool = False
    source: str


async def cancel_all(
    rows: Sequence[Progress],
    wish: Wish,
    *,
    publisher: Publisher,
    tracker: Tracker | None,
    wait_seconds: float,
    changed: Callable[[Progress], None],
) -> None:
    """Fills in the rows. Without a tracker it ends when Kafka has the commands, else when the outcomes are in."""
    gate = asyncio.Semaphore(AT_ONCE)
    async with asyncio.TaskGroup() as tasks:
        for row in rows:
            one = _One(row=row, wish=wish, tracker=tracker, changed=changed)
            tasks.create_task(one.cancel(publisher, gate, wait_seconds))


def exit_code(rows: Sequence[Progress], *, waited: bool) -> int:
    """0: all as wished. 1: some were refused or failed. 3: of some it is not known."""
    states = {row.state for row in rows}
    if states & REFUSED:
        return 1
    return 0 if states <= (GOOD if waited else GOOD | {State.PUBLISHED, State.ACCEPTED}) else 3


@dataclass(frozen=True, kw_only=True, slots=True)
class _One:
    row: Progress
    wish: Wish
    tracker: Tracker | None
    changed: Callable[[Progress], None]

    async def cancel(self, publisher: Publisher, gate: asyncio.Semaphore, wait_seconds: float) -> None:
        followed = self._follow()
        try:
            async with gate:
                published = await self._publish(publisher, followed)
            if followed is not None and published:
                await self._wait(followed, wait_seconds)
        finally:
            self.row.ended = time.monotonic()
            self.changed(self.row)
            if self.tracker is not None and followed is not None:
                self.tracker.forget(followed)

    def _follow(self) -> FollowedCommand | None:
        if self.tracker is None:
            return None

        def progressed() -> None:
            if followed.accepted is not None and not followed.outcome.done():
                self._tell(State.ACCEPTED)

        followed = self.tracker.follow(
            source=self.wish.source,
            command_id=self.row.command_id,
            evaluation_id=self.row.evaluation_id,
            changed=progressed,
        )
        return followed

    async def _publish(self, publisher: Publisher, followed: FollowedCommand | None) -> bool:
        try:
            receipt = await publisher.cancel(
                self.row.evaluation_id,
                self.wish.requested_by,
                reason=self.wish.reason,
                cleanup_artifacts=self.wish.cleanup_artifacts,
                command_id=self.row.command_id,
                source=self.wish.source,
            )
        except PublishError as error:
            state = State.UNKNOWN if isinstance(error, PublishUnknown) else State.REJECTED
            self._tell(state, error.code, error.detail)
            return False
        except ValueError as error:
            self._tell(State.REJECTED, "invalid_command", str(error))
            return False
        if self.tracker is not None and followed is not None:
            self.tracker.published(followed, (receipt.topic, receipt.partition, receipt.offset))
        if self.row.state is State.PUBLISHING:
            self._tell(State.PUBLISHED)
        return True

    async def _wait(self, followed: FollowedCommand, seconds: float) -> None:
        try:
            outcome = await asyncio.wait_for(asyncio.shield(followed.outcome), seconds)
        except TimeoutError:
            self._tell(State.TIMED_OUT, detail=f"after {seconds:g} s; it is not given up")
        else:
            self._tell(_state_of(outcome), outcome.code, outcome.detail)

    def _tell(self, state: State, code: str | None = None, detail: str | None = None) -> None:
        self.row.become(state, code, detail)
        self.changed(self.row)


def _state_of(outcome: Outcome) -> State:
    if outcome.achieved:
        return State.CANCELLED if outcome.kind == "cancelled" else State.ALREADY_CANCELLED
    return State.FAILED if outcome.kind == "failed" else State.REJECTED
