"""Child processes of the stand and what they need: a workspace, ports, a cache, plain HTTP.

`process.py` starts, pauses and kills children; `part.py` adds readiness and restarts. `launch.py` and `sweeper.py`
run as scripts beside them. Invariant: no child outlives the process that started it, however that one ends.
"""
