"""All parts started together, and the service on top of them.

`stack.py` starts Postgres, Kafka, Kubernetes and S3 (`containers.py` does the same with Docker; `given.py` takes a
broker or a cluster of the user). `system.py` creates schema and topics and starts consumers and `endpoint.py`.

Read `stack.py`, then `system.py`. Invariant: parts start in parallel and stop in reverse order; on a broker or
cluster of the user, the stand works under random names and deletes them at its end.
"""
