"""How the service's loops run, without knowledge of what they do.

Read `loop.py` first: the base class of every loop. `supervisor.py` restarts loops after faults and stops them in order;
`health.py` serves their state and the metrics. `batching.py` gathers single writes into batches and retries them.
`backoff.py`, `nudge.py`, `log_throttle.py` and `gc_tuning.py` are the one place each for delays before retries, waits
with a limit, repeated log lines and the garbage collector. Invariant: a fault or an outage in one loop never stops
another, and a loop that is restarted continues from Postgres.
"""
