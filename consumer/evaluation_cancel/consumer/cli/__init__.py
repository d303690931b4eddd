"""The operator's commands of `cancel-consumer`, apart from `run` and `audit`.

`migrate.py` prepares the database and the topics, `views.py` reads and prints evaluations and open cancellations,
`terminal.py` runs work on Postgres and prints its errors. The commands are put together in `__main__.py`. Nothing here
decides or deletes: `resolve` is in `teardown/resolve.py`.
"""
