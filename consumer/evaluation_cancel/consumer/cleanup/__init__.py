"""From a finished cancellation to deleted artifacts in S3.

Read `deletable_keys.py` first: which keys may be deleted. `attempt.py` is one attempt, `loop.py` claims due cleanups
and runs attempts, and `store.py` writes to Postgres. The S3 client is in `s3/`. Invariants: a cleanup starts only after
its cancellation has ended, never delays it, and reports everything that it could not delete.
"""
