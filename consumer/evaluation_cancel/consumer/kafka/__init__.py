"""The consumer's access to Kafka: the only package with aiokafka, apart from `audit/kafka`.

`command_reader.py` reads commands in a consumer group, `event_producer.py` publishes with `partition_batches.py`,
`topics.py` creates the topics. Invariant: each call that aiokafka does not bound has a time limit here.
"""
