"""The service's access to Kafka; the only package outside `audit/` that imports aiokafka.

`command_reader.py` reads the commands topic in a consumer group for `intake/loop.py`. `event_producer.py` sends records
for `outbox/relay.py`, by means of `partition_batches.py`. `topics.py` creates topics. It decides nothing about records.
Invariants: every call has a deadline, offsets are committed only by request, and a producer with unresolved records is
closed before anything is sent again.
"""
