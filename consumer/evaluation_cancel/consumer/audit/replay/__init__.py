"""Replays selected records to the terminal, to a file, or onto another topic. Never onto the system's own topics.

Read `replay.py` first: the use case and its port `Output`. `outputs.py` has the terminal and JSON lines, `parquet.py` a
Parquet file, `topic.py` another topic with a rate limit and a progress file. Where the records come from is `history`.

Invariants: records keep their bytes and, within a partition, their order. Memory holds one piece of one partition.
"""
