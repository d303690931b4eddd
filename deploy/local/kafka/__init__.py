"""A Kafka broker for the stand: in memory (`memory.py`) or real (`real.py`, with its programs from `jars.py`).

Read `broker.py` first: it has the handle of a broker and creates topics on it. The in-memory broker supports neither
transactions nor read_committed; use the real one for everything that depends on them.
"""
