"""Which records a reader of history wants: by time, evaluation, team, actor, type or decision.

What costs little is asked first. A record that cannot be understood matches only what can still be asked of it: time,
type by header, and the evaluation by key or by its id standing somewhere in the value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from evaluation_cancel.consumer.audit.history.facts import Facts, facts_of, short_type
from evaluation_cancel.schemas.wire.records import RawRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Everything that is None or empty lets all through; the others must all hold."""

    since_ms: int | None = None
    """The first millisecond wanted."""
    before_ms: int | None = None
    """The first one no longer wanted."""
    evaluation: UUID | None = None
    team: str | None = None
    actor: str | None = None
    types: frozenset[str] = frozenset()
    """Short names, as `EvaluationCancelled`; `DeadLetter` for dead letters."""
    decision: str | None = None
    """`accepted`, or `rejected` or one of its codes. Only events tell decisions; who joined has no event of its own."""

    @property
    def is_narrow(self) -> bool:
        """Whether anything but time is asked for."""
        return bool(self.evaluation or self.team or self.actor or self.types or self.decision)

    def in_time(self, record: RawRecord) -> bool:
        moment = record.timestamp_ms
        return (self.since_ms is None or moment >= self.since_ms) and (
            self.before_ms is None or moment < self.before_ms
        )

    def matcher(self) -> Callable[[RawRecord], bool]:
        """A quick test of one record."""
        if not self.is_narrow:
            return self.in_time
        return self._matches

    def _matches(self, record: RawRecord) -> bool:
        if not self.in_time(record):
            return False
        if self.types and short_type(record) not in self.types:
            return False
        if self.evaluation is not None and not _about(record, str(self.evaluation).encode()):
            return False
        if self.team is None and self.actor is None and self.decision is None:
            return True
        return self._fits(facts_of(record))

    def _fits(self, facts: Facts) -> bool:
        return (
            (self.team is None or self.team == facts.team or self.team in facts.acts_for)
            and (self.actor is None or self.actor == facts.actor)
            and (self.decision is None or self.decision in facts.decisions)
        )


def _about(record: RawRecord, identity: bytes) -> bool:
    if record.key is not None and record.key.lower() == identity:
        return True
    value = record.value
    return value is not None and identity in value.lower()
