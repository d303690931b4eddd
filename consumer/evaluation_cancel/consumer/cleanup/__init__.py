"""Deletes the artifacts of cancelled evaluations, apart from and after their cancellation.

`attempt.py` is one attempt, pure of SQL and HTTP; `deletable_keys.py` decides which keys it may delete: never the
request file, and nothing outside the evaluation's prefix. `loop.py` claims due cleanups, `store.py` writes outcomes.
Invariant: a cleanup never changes the outcome of its cancellation.
"""
