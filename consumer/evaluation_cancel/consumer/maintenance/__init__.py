"""The slow loops: what the fast ones leave behind.

`sweep.py` decides commands whose evaluation was locked, reports cancellations that no process claims, and applies the
retention. `late_jobs.py` deletes Jobs that appear after their evaluation was cancelled.
Invariant: each step is one transaction or one statement, safe in several processes at once.
"""
