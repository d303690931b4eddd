"""Whether everything that was told is so: looked up anew in Postgres, the cluster, the bucket and the topics.

Each check gives the list of what is wrong; an empty one means that all is as told. Nothing here asks the service.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from deploy.local.demo.cases import Case
from deploy.local.demo.facts import Facts
from deploy.local.demo.kill import Killed
from deploy.local.play.listener import Heard
from evaluation_cancel.schemas.events import event_id
from evaluation_cancel.schemas.wire.codec import RawRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """What was looked at, and what is not as told."""

    about: str
    wrong: tuple[str, ...]


def check_case(case: Case, facts: Facts, heard: Sequence[Heard]) -> Check:
    """All that must hold of one case."""
    wrong = [
        *_status(case, facts),
        *_decisions(case, facts),
        *_cluster(case, facts),
        *_artifacts(case, facts),
        *_events(case, heard),
    ]
    return Check(about=case.name, wrong=tuple(wrong))


def check_dead_letters(expected: Sequence[bytes], found: Sequence[RawRecord]) -> Check:
    values = [record.value for record in found]
    wrong = [] if values == list(expected) else [f"the dead letters hold {values}, not {list(expected)}"]
    return Check(about="dead letters", wrong=tuple(wrong))


def check_events_of_others(cases: Iterable[Case], heard: Sequence[Heard]) -> Check:
    known = {case.evaluation.id for case in cases}
    strange = {str(each.event.evaluation_id) for each in heard} - {str(identity) for identity in known}
    wrong = [f"there are events of {identity}, for which no command was sent" for identity in sorted(strange)]
    return Check(about="events topic", wrong=tuple(wrong))


def check_kill(killed: Killed, facts: Facts) -> Check:
    """What the killed one held was finished by an attempt after its own."""
    wrong = ["the killed consumer still runs"] if killed.consumer.child.running else []
    for identity in killed.held:
        attempts = [each["attempts"] for each in facts.cancellations.get(identity, [])]
        if not attempts or attempts[-1] < 2:  # noqa: PLR2004  # its own and the survivor's
            wrong.append(f"{identity}, which the killed consumer held, was not taken over (attempts: {attempts})")
    return Check(about="the kill", wrong=tuple(wrong))


def check_at_rest(facts: Facts) -> Check:
    """No work is left in Postgres."""
    wrong = [f"{count} rows of {name} wait" for name, count in facts.waiting.items() if count]
    return Check(about="at rest", wrong=tuple(wrong))


def _status(case: Case, facts: Facts) -> list[str]:
    found = facts.statuses.get(case.evaluation.id, "")
    wrong = _differs("its status in Postgres is", found, case.expected.status)
    phases = [row["phase"] for row in facts.cancellations.get(case.evaluation.id, [])]
    accepted = ["cancelled"] * case.expected.decisions.count("accepted")
    return wrong + _differs("its cancellations in Postgres are", phases, accepted)


def _decisions(case: Case, facts: Facts) -> list[str]:
    rows = facts.commands.get(case.evaluation.id, [])
    found = tuple(row["code"] or row["decision"] for row in rows)
    wrong = _differs("its commands were decided", found, case.expected.decisions)
    names = [(row["source"], row["id"]) for row in rows]
    return wrong + _differs("the inbox holds the commands", names, [(sent.source, sent.id) for sent in case.sent])


def _cluster(case: Case, facts: Facts) -> list[str]:
    jobs, pods = facts.jobs.get(case.evaluation.id, 0), facts.pods.get(case.evaluation.id, 0)
    wrong = _differs("the cluster has Jobs of it:", jobs, 1 if case.expected.pods else 0)
    return wrong + _differs("the cluster has pods of it:", pods, case.expected.pods)


def _artifacts(case: Case, facts: Facts) -> list[str]:
    keys = facts.keys.get(case.evaluation.id, [])
    others = [key for key in keys if key != case.evaluation.request_key]
    wrong = _differs("artifacts in the bucket:", len(others), case.expected.artifacts)
    wrong += _differs("its request file is in the bucket:", len(keys) > len(others), case.expected.request_file)
    return wrong + _differs("unfinished uploads:", facts.uploads.get(case.evaluation.id, 0), 0)


def _events(case: Case, heard: Sequence[Heard]) -> list[str]:
    first: dict[str, Heard] = {}
    wrong = []
    for each in heard:
        known = first.setdefault(each.envelope.id, each)
        if (known.record.value, known.record.headers) != (each.record.value, each.record.headers):
            wrong.append(f"two events have the id {each.envelope.id} and differ")
    wrong += _differs("its events are", tuple(each.type for each in first.values()), case.expected.events)
    sequences = [each.envelope.sequence or 0 for each in first.values()]
    wrong += _differs("the sequence of its events is", sequences, sorted(set(sequences)))
    for each in first.values():
        source, command = _cause(case)
        wrong += _differs(f"the id of {each.type} is", each.envelope.id, str(event_id(source, command, each.type)))
        count = sum(other.envelope.id == each.envelope.id for other in heard)
        if count < case.expected.copies:
            wrong.append(f"{each.type} came {count} times, not {case.expected.copies}")
    return wrong


def _cause(case: Case) -> tuple[str, str]:
    """The first command of a case is the one its events belong to."""
    return case.sent[0].source, case.sent[0].id


def _differs(what: str, found: Any, expected: Any) -> list[str]:
    return [] if found == expected else [f"{what} {_shown(found)}, not {_shown(expected)}"]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()


def all_checks(
    cases: Sequence[Case],
    facts: Facts,
    *,
    heard: Sequence[Heard],
    dead_letters: Sequence[RawRecord],
    undecodable: Sequence[bytes],
    killed: Killed | None,
) -> list[Check]:
    """One check for each case, and one for each thing that is about all of them."""
    of: dict[UUID, list[Heard]] = {case.evaluation.id: [] for case in cases}
    for each in heard:
        of.setdefault(each.event.evaluation_id, []).append(each)
    checks = [check_case(case, facts, of[case.evaluation.id]) for case in cases]
    checks += [check_dead_letters(undecodable, dead_letters), check_events_of_others(cases, heard)]
    if killed is not None:
        checks.append(check_kill(killed, facts))
    return [*checks, check_at_rest(facts)]
