"""An operator closes an open cancellation by hand, vouching for what could not be proven; the reason is on record.

`cancelled`: the Job is known to be gone. `failed`: it is to go on, and the fence comes down. The same transaction as
any other end, so that status, held report and event agree. Whoever holds the row finds its attempt outdated.
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
from evaluation_cancel.consumer.sql import cancellations, evaluations, reads
from evaluation_cancel.consumer.sql.cancellations import Ending
from evaluation_cancel.consumer.sql.database import Database
from evaluation_cancel.consumer.teardown.store import record_end


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolution:
    """What the operator says."""

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
    """Ends the open cancellation of an evaluation; gives its id. Raises `Refusal` when there is none."""
    async with database.transaction() as tx:
        locked = await evaluations.lock(tx, [evaluation_id])
        missing = not locked and await reads.evaluation(tx, evaluation_id) is None
        if not locked and not missing:
            raise TemporaryError("evaluation_locked", "another session holds its row; try again in a moment")
        fence = next((f for f in await evaluations.fences(tx, [evaluation_id], [])), None)
        row = await cancellations.take_over(tx, fence["id"]) if fence else None
        if fence is None or row is None:
            if missing:
                raise Refusal("not_found", f"there is no evaluation {evaluation_id}")
            raise Refusal("not_open", f"evaluation {evaluation_id} has no open cancellation")
        evidence = replace(
            load_evidence(row["evidence"]),
            resolved_by=scrub(resolution.operator, 128),
            resolve_reason=scrub(resolution.reason, 800),
        )
        ended = await cancellations.end(
            tx, [_ending(fence["id"], row["attempts"], evidence, resolution)], cleanup_deadline
        )
        await record_end(tx, events, ended, {fence["id"]: published_evidence(evidence)})
    identity: UUID = fence["id"]
    return identity


def _ending(cancellation: UUID, attempt: int, evidence: TeardownEvidence, resolution: Resolution) -> Ending:
    return Ending(
        id=cancellation,
        attempt=attempt,
        phase=resolution.outcome,
        evidence=dump_evidence(evidence),
        code="resolved" if resolution.outcome == "failed" else None,
        text=f"resolved by {evidence.resolved_by}: {evidence.resolve_reason}"
        if resolution.outcome == "failed"
        else None,
    )
