"""Verifies that archive, topics and Postgres agree, and reports each finding.

`verify.py` is the use case, `chain_check.py` checks the archive's chain, `commands.py`, `events.py` and `rows.py` each
check one kind of record, `redecide.py` decides again what was decided. `disk_buckets.py` keeps memory flat.
Invariant: it reads only; a finding names the record and what was expected.
"""
