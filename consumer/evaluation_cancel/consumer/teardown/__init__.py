"""From an open cancellation to a Job that is gone, with the evidence.

Read `attempt.py` first: one attempt, pure of SQL and HTTP. `loop.py` claims rows and runs attempts, `capacity.py`
bounds them for each cluster, `in_flight.py` holds the claimed rows, `store.py` writes outcomes to Postgres.
`resolve.py` closes a cancellation by an operator's word. `ports.py` is what the loop needs from its store.
Invariants: an intent is committed before the first DELETE; only the newest attempt of a row may write its outcome;
a cancellation ends as failed only when nothing can have been deleted.
"""
