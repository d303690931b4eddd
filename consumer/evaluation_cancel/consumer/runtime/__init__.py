"""What every long-running loop of this process needs: start and stop, waiting, logging, batching, health.

Read `loop.py` first: each loop derives from it, and `supervisor.py` starts, restarts and stops them. `backoff.py` has
the only backoff, `nudge.py` the only wait for an event with a time limit, `log_throttle.py` the only throttled log
call. `batching.py` gathers rows into batches and completes them through outages of Postgres.
Nothing here knows commands, Jobs or SQL.
"""
