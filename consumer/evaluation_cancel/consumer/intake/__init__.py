"""From a Kafka record to a decision in Postgres.

Read `loop.py` first: it decodes the records of a batch and commits offsets. `decide.py` records and decides a batch in
one transaction, `batch.py` plans what it writes, and `eager_claims.py` claims new cancellations for this process's own
teardown. The rules for a single command are in `domain/decisions.py`; Kafka is read by `kafka/command_reader.py`.
Invariants: offsets are committed only after Postgres has committed; a command delivered twice is decided once; an
undecodable or unstorable record becomes one dead letter and delays no other.
"""
