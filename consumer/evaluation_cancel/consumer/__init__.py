"""Cancels evaluations: reads CancelEvaluation commands, deletes the Jobs and artifacts, publishes the outcomes.

The way of one cancellation, and the file to read for each step:

1. `intake/loop.py` reads commands from Kafka, in batches.
2. `intake/decide.py` stores each command and its decision in one transaction, by the rules of `domain/decisions.py`.
   An accepted command opens a cancellation. While it is open, no status of the evaluation changes.
3. `teardown/loop.py` claims open cancellations. `teardown/attempt.py` deletes the Job and proves that no pod is
   left.
4. `teardown/store.py` stores the outcome, the evaluation's status and the event in one transaction.
5. `cleanup/loop.py` and `cleanup/attempt.py` delete the artifacts, if the command requests it.
6. `outbox/relay.py` publishes the stored events to Kafka, in order.

Any process can die at any step: the state is in Postgres, claims and leases expire, and another process goes on.
`maintenance/` deletes old rows and repairs, `app.py` starts the loops, `wiring.py` creates their parts.
`audit/` checks and explains the recorded history; the service runs without it.
"""
