"""The `cancel-consumer audit` commands: options, wiring, exit codes and progress.

`entry.py` reports a missing extra, `commands.py` has the commands; `verify.py`, `replay.py`, `report.py` and
`explain.py` each run one use case. `wiring.py` opens the clients. No rules of audit here.
"""
