"""How a record reads to a person: a title and a sentence. Says only what the record says."""

from __future__ import annotations

from typing import Any, Final

from evaluation_cancel.consumer.audit.history.facts import COMMAND, DEAD_LETTER, Facts

_TITLES: Final = {
    COMMAND: "cancel",
    "EvaluationCancelAccepted": "accepted",
    "EvaluationCancelled": "cancelled",
    "EvaluationCancelRejected": "rejected",
    "EvaluationCancelFailed": "failed",
    "EvaluationArtifactsCleaned": "artifacts cleaned",
    DEAD_LETTER: "dead letter",
}


def title(facts: Facts) -> str:
    return plain(_TITLES.get(facts.type or "", facts.type or "not understood"))


def describe(facts: Facts) -> str:
    """One line, fit for a terminal whatever a stranger wrote."""
    data = facts.data if isinstance(facts.data, dict) else {}
    match facts.type:
        case "EvaluationCancelled":
            text = proof(data.get("evidence"))
        case "EvaluationArtifactsCleaned":
            text = (
                f"{data.get('state')}: {data.get('deleted_count')} deleted, {data.get('kept_count')} kept,"
                f" {data.get('failed_count')} failed"
            )
        case "EvaluationCancelFailed":
            text = f"{facts.code}: {data.get('detail')}"
        case "EvaluationCancelRejected":
            asker = asked(facts.actor_kind, facts.actor, facts.reason, cleanup=False)
            text = " ".join(word for word in (facts.code, _since(data), asker) if word)
        case "DeadLetter":
            text = f"{facts.code}: {data.get('field')} {data.get('problem')}"
        case None:
            text = "no message of this system"
        case _:
            text = asked(facts.actor_kind, facts.actor, facts.reason, cleanup=data.get("cleanup_artifacts") is True)
    return plain(text)


def asked(kind: str | None, actor: str | None, reason: str | None, *, cleanup: bool) -> str:
    """Who wants what, and why."""
    who = " ".join(word for word in (kind, actor) if word) or "nobody known"
    return f"by {who}{', artifacts too' if cleanup else ''}{'' if reason is None else f': {reason}'}"


def _since(data: dict[str, Any]) -> str:
    ended = data.get("ended_at")
    return "" if ended is None else f"({data.get('status')} since {ended})"


def proof(evidence: Any) -> str:
    """Evidence as an event holds it, in words."""
    if not isinstance(evidence, dict):
        return "without evidence"
    finished = evidence.get("job_finished")
    by_hand = evidence.get("resolved_by")
    return (
        f"job {evidence.get('job')}{f' (had {finished})' if finished else ''},"
        f" {evidence.get('pod_count', 0)} pods seen gone"
        + (f", closed by hand by {by_hand.get('id')}: {evidence.get('resolve_reason')}" if by_hand else "")
    )


def plain(text: str, limit: int = 400) -> str:
    """Without what would move the cursor or break the line."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[: limit + 1])
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
