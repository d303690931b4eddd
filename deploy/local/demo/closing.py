"""The end of the demo: a table of the cases with their times, and whether all was as told."""

from collections.abc import Sequence

from deploy.local.demo.cases import ACCEPTED, CLEANED, Case
from deploy.local.demo.checks import Check
from deploy.local.demo.screen import Screen
from deploy.local.play.listener import Heard, Listener
from evaluation_cancel.schemas.events import (
    EvaluationArtifactsCleaned,
    EvaluationCancelled,
    EvaluationCancelRejected,
    Evidence,
)

COLUMNS = ("evaluation", "asked", "outcome", ">decided", ">ended", ">cleaned")


def show_table(screen: Screen, cases: Sequence[Case], listener: Listener) -> None:
    told = [case for case in cases if case.told]
    many = [case for case in cases if not case.told]
    rows = [_row(case, listener.of(case.evaluation.id)) for case in told]
    if many:
        rows.append(_row_of_many(many, listener))
    screen.table("What came of each, in seconds from the sending of its command", COLUMNS, rows)


def show_checks(screen: Screen, checks: Sequence[Check]) -> bool:
    """Name what is not as told; True if all is."""
    wrong = [(check.about, text) for check in checks for text in check.wrong]
    screen.say()
    if not wrong:
        screen.say(
            f"Looked up again in Postgres, the cluster, the bucket and the topics: {len(checks)} checks, "
            f"all as told. {screen.seconds:.0f} s.",
            style="bold green",
        )
        return True
    screen.say("Not as told:", style="bold red")
    for about, text in wrong:
        screen.say(f"  {about}: {text}", style="red")
    return False


def _row(case: Case, heard: Sequence[Heard]) -> tuple[str, ...]:
    decided = next((each for each in heard if isinstance(each.event, EvaluationCancelRejected)), None)
    decided = decided or next((each for each in heard if each.type == ACCEPTED), None)
    ended = next((each for each in heard if isinstance(each.event, EvaluationCancelled)), None)
    cleaned = next((each for each in heard if each.type == CLEANED), None)
    times = (_seconds(case, each) for each in (decided, ended, cleaned))
    return (case.name, case.asked, _outcome(heard), *times)


def _outcome(heard: Sequence[Heard]) -> str:
    said = []
    for event in {each.envelope.id: each.event for each in heard}.values():
        if isinstance(event, EvaluationCancelRejected):
            said.append(f"rejected: {event.code}")
        elif isinstance(event, EvaluationCancelled):
            said.append(f"cancelled: {_short(event.evidence)}")
        elif isinstance(event, EvaluationArtifactsCleaned):
            said.append(f"{event.deleted_count} artifacts gone")
    return ", ".join(said)


def _short(evidence: Evidence) -> str:
    if evidence.job in {"not created", "never seen"}:
        return f"its Job was {evidence.job}"
    return f"Job and {evidence.pod_count} pod{'' if evidence.pod_count == 1 else 's'} gone"


def _row_of_many(cases: Sequence[Case], listener: Listener) -> tuple[str, ...]:
    rows = [_row(case, listener.of(case.evaluation.id)) for case in cases]
    slowest = [max((float(row[column]) for row in rows if row[column]), default=0.0) for column in (3, 4)]
    outcome = "cancelled: all, one consumer killed"
    return (f"{len(cases)} more", "ada: stop", outcome, *(f"≤ {seconds:.2f}" for seconds in slowest), "")


def _seconds(case: Case, heard: Heard | None) -> str:
    return f"{heard.at - case.sent[0].at:.2f}" if heard and case.sent else ""
