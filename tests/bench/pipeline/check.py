"""Whether a run did what it should: each command one accepted and one cancelled event, nothing doubled or missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from evaluation_cancel.schemas.envelope import TYPE_PREFIX

ACCEPTED = f"{TYPE_PREFIX}EvaluationCancelAccepted"
CANCELLED = f"{TYPE_PREFIX}EvaluationCancelled"
COMMAND = f"{TYPE_PREFIX}CancelEvaluation"

Notes = Sequence[tuple[str, str, str, float]]
"""Event id, type, command id and when it came, of each record that was read."""


def faults_of_events(command_ids: Iterable[str], notes: Notes) -> list[str]:
    """What is wrong with the events of these commands, in words."""
    wanted = set(command_ids)
    faults = [f"event {i} came {n} times" for i, n in Counter(note[0] for note in notes).items() if n != 1]
    for kind in (ACCEPTED, CANCELLED):
        counts = Counter(note[2] for note in notes if note[1] == kind)
        faults += [f"{len(wanted - counts.keys())} commands without {kind}"] * bool(wanted - counts.keys())
        faults += [f"command {c} has {n} of {kind}" for c, n in counts.items() if n != 1]
        faults += [f"{kind} for {c}, which was never sent" for c in counts.keys() - wanted]
    others = {note[1] for note in notes} - {ACCEPTED, CANCELLED}
    return faults + [f"events of type {kind}, which nothing asked for" for kind in sorted(others)]


def faults_of_echo(command_ids: Iterable[str], notes: Notes) -> list[str]:
    """The same for a plain copy of the commands."""
    wanted, seen = set(command_ids), Counter(note[0] for note in notes)
    faults = [f"{len(wanted - seen.keys())} commands without an echo"] * bool(wanted - seen.keys())
    return faults + [f"command {i} came back {n} times" for i, n in seen.items() if n != 1 or i not in wanted]
