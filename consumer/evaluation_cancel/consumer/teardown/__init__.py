"""From an accepted cancellation to the proven end of its Job.

Read `attempt.py` first: one attempt, and what proves that a Job is gone. `loop.py` claims due cancellations and runs
attempts, `capacity.py` bounds them for each cluster, `in_flight.py` batches their writes, and `store.py` writes to
Postgres. `pods.py` keeps the evidence, `resolve.py` closes a cancellation by hand. Kubernetes itself is in
`kubernetes/`. Invariants: nothing is deleted before its intent is committed; only a later list without pods proves an
end; a cancellation fails only if nothing was deleted.
"""
