"""The database schema `evaluation_cancel`: its revisions, the functions on evaluations, and the reader role.

Start with `schema.py`, which upgrades a database or prints the SQL. The revisions in `versions/` create the tables and
views and never go back. `evaluations.py` generates the functions and triggers through which evaluations are accessed,
from a mapping of the table that holds them. `version.py` checks the revision of a database without loading Alembic.

Invariants, kept by the triggers: a final status never changes, an evaluation becomes cancelled only with an ended
cancellation, and no status changes while a cancellation is open.
"""
