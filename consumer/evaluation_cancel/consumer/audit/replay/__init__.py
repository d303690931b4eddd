"""Replays recorded events to a file, to standard output or to another topic.

`replay.py` is the use case; `outputs.py`, `parquet.py` and `topic.py` are the targets. A replay never writes to the
topics of the service.
"""
