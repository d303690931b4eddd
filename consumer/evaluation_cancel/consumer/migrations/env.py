"""Alembic runs this file: it runs the revisions on the connection of `schema.py`, or prints their SQL without one."""

from alembic import context

from evaluation_cancel.consumer.migrations.version import VERSION_TABLE

connection = context.config.attributes.get("connection")
if connection is None:
    context.configure(dialect_name="postgresql", as_sql=True, **VERSION_TABLE)
else:
    context.configure(connection=connection, **VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
