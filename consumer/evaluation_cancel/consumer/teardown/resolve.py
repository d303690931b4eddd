"""Lets an operator end an open cancellation by hand, without proof; operator and reason are recorded.

`cancelled`: the operator has made sure that the Job is gone. `failed`: the evaluation is to go on, and the fence is
removed. It is the same transaction as any other end, so that status, held report and event agree. Later writes of the
row's holder are ignored, because its attempt is no longer the newest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal
from uuid import UUID

from evaluation_cancel.consumer.domain.cancellations import TeardownEvidence
from evaluation_cancel.consumer.domain.errors import Refusal, TemporaryError, scrub
from evaluation_cancel.consumer.domain.events import OutcomeEvents
from evaluation_cancel.consumer.domain.evidence import dump_evidence, load_evidence, published_evidence
from evaluation_cancel.consumer.domain.rows import Ending
from evaluation_cancel.consumer.sql import cancellations, evaluations
from evaluation_cancel.consumer.sql.database import Database
from evaluation_cancel.consumer.teardown.store import record_end


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolution:
    """The operator's decision."""

    outcome: Literal["cancelled", "failed"]
    operator: str
    reason: str


async def resolve(
    database: Database,
    events: OutcomeEvents,
    evaluation_id: UUID,
    resolution: Resolution,
    *,
    cleanup_deadline: timedelta,
) -> UUID:
    """Ends the open cancellation of an evaluation; returns its id.

    Raises `Refusal` when there is none, and `TemporaryError` when another session holds the evaluation's row.
    """
    async with database.transaction() as tx:
        locked, held = await evaluations.try_lock(tx, [evaluation_id])
        if held:
            raise TemporaryError("evaluation_locked", "another session holds its row; try again in a moment")
        fence = next(iter(await evaluations.fences(tx, [evaluation_id], [])), None)
        row = await cancellations.take_over(tx, fence.cancellation_id) if fence else None
        if fence is None or row is None:
            if not locked:
                raise Refusal("not_found", f"there is no evaluation {evaluation_id}")
            raise Refusal("not_open", f"evaluation {evaluation_id} has no open cancellation")
        cancelled = resolution.outcome == "cancelled"
        evidence = replace(
            load_evidence(row.evidence),
            stop_proven=False if cancelled else None,
            doubts=("resolved_by_hand",) if cancelled else (),
            resolved_by=scrub(resolution.operator, 128),
            resolve_reason=scrub(resolution.reason, 800),
        )
        ending = _ending(fence.cancellation_id, row.attempt, evidence, resolution)
        ended = await cancellations.end(tx, [ending], cleanup_deadline)
        await record_end(tx, events, ended, {ending.id: published_evidence(evidence)})
    return fence.cancellation_id


def _ending(cancellation: UUID, attempt: int, evidence: TeardownEvidence, resolution: Resolution) -> Ending:
    failed = resolution.outcome == "failed"
    return Ending(
        id=cancellation,
        attempt=attempt,
        phase=resolution.outcome,
        evidence=dump_evidence(evidence),
        code="resolved" if failed else None,
        text=f"resolved by {evidence.resolved_by}: {evidence.resolve_reason}" if failed else None,
    )
