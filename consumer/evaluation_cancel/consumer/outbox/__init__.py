"""Publishes the messages that transactions left in the outbox table.

Read `relay.py`: the loop of the one leader. `ports.py` is what it needs from Kafka, which `kafka/event_producer.py`
implements. Invariants: a message is marked only after its acknowledgement, so it is published at least once; of one key
at most one message is sent at a time, in order; a message that the broker refuses delays only its own key.
"""
