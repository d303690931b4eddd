"""Values and pure rules. No I/O, no clock of its own, no client library: import-linter forbids asyncpg and the others.

Read first: `decisions.py` (accept, join or reject a command) and `cancellations.py` (a claim, and the outcome of an
attempt). `events.py` builds the outcome events, `messages.py` is an encoded event, `errors.py` sorts failures by what
to do about them. `rows.py` holds the rows that the modules of `sql/` return, `evaluations.py` those of an evaluation.

Invariants: values are frozen; a decision depends only on a command, its evaluation under lock and the database's time;
an event's id follows from its command, so that building the event again gives the same one.
"""
