"""Slow sweeps beside the main path.

`sweep.py` decides commands that were left undecided, warns of cancellations that no process claims, and deletes old
history. `late_jobs.py` takes down Jobs that appear after their evaluation was cancelled. Neither is needed for a
cancellation to end. Invariant: every step is safe to run in several processes at once and to be killed in.
"""
