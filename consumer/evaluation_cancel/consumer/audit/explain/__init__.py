"""Explains one evaluation: a timeline from its commands, events, rows and Kubernetes evidence.

`explain.py` collects, `timeline.py` orders and words the entries (pure), `view.py` prints them.
"""
