"""From a Kafka record to a recorded decision.

`loop.py` reads batches and decodes them, `decide.py` records one batch in one transaction, `batch.py` holds what that
transaction will write (pure), `eager_claims.py` lets this process claim the cancellations that it opens.
Invariant: Kafka's offsets are committed only after Postgres has committed the batch; a repeated batch changes nothing.
Not here: how Kafka is read (`kafka/command_reader.py`) and the rules of a decision (`domain/decisions.py`).
"""
