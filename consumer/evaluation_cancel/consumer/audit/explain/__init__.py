"""Explains one evaluation: a timeline from Postgres, Kafka and the archive, with the sources of each entry.

Read `explain.py` first: it reads the sources. `timeline.py` turns rows and records into entries and is pure; `view.py`
prints them as text or JSON. Nothing is checked here: that is `verify`.

Invariants: an unreadable source does not stop the others and is named in the result. Every entry names its sources.
"""
