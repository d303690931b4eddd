"""Reads ranges of Kafka partitions for audit, without a consumer group and without committing offsets.

`reading.py` defines the port `Log` and reads a range to its end; read it first. `client.py` implements the port with
aiokafka. The records are neither decoded nor filtered here: that is the task of `history`.

Invariants: a reading ends at the offset where it was told to end, over control records and gaps too, and every call has
a timeout. Records that expired during the reading are reported, never skipped in silence.
"""
