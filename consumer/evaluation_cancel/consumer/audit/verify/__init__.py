"""Verifies the archive's chains, and compares the archived history with Postgres. Reports defects, repairs nothing.

Read `verify.py` first. `collect.py` walks all chains (`chain_check.py`) and sorts the records by evaluation on disk
(`disk_buckets.py`). Then each evaluation is checked on its own: `commands.py`, `events.py` and `rows.py`, all pure,
with `redecide.py` to repeat decisions. `context.py` holds the values that the checks share, `findings.py` their
results.

Invariants: a finding names its place. The archive is read before Postgres, and everything younger than the lag may
still be on its way, so a running system causes no defects.
"""
