"""Publishes the messages that transactions have written to the outbox.

`relay.py` is the loop: one leader at a time by a lease, at most one message of a key in a round, marked as published
only after Kafka's acknowledgement. `ports.py` is what it needs from Kafka; `kafka/event_producer.py` implements it.
Invariant: a crash publishes a message again with the same id, bytes and sequence, and never loses or reorders one.
"""
