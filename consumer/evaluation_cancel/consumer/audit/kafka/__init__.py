"""Audit's access to Kafka: reads partitions by offset, joins no consumer group and commits nothing.

`client.py` opens the log and finds its bounds, `reading.py` reads records.
"""
