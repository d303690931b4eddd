"""All SQL of the running service. One module a table or concern; nothing here decides anything.

`database.py` opens transactions and sorts errors; every other function takes the transaction's connection, runs one
set-based statement and gives plain values back. Evaluations are reached only through the SQL functions that
`evaluation_cancel.consumer.migrations.evaluations` makes. Lock order: evaluations by id, commands, cancellations by id,
outbox.
"""
