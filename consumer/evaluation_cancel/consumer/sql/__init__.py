"""All SQL of the running service: one module for each table or concern, one statement for each function.

Read first: `database.py` opens transactions, translates the driver's errors and turns rows into the values of
`domain/`. The other functions take the connection of a transaction, run one set-based statement and decide nothing.
Evaluations are reached only through the SQL functions that `migrations/evaluations.py` creates.

Invariants: rows are locked in the order evaluations by id, commands by key, cancellations by id, outbox. Writes of a
holder compare the attempt number. No query changes its session, so any pooler may sit in between.
"""
