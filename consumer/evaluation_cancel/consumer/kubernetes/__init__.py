"""The service's access to Kubernetes: reads Jobs and pods, deletes Jobs, watches both.

Read `port.py` first: the calls and the facts that the teardown needs, without any client. `jobs.py` implements them on
an API server, `client.py` sends the requests and turns failures into `TemporaryError` and `Refusal`, `connect.py` reads
credentials. `watch.py` reports at once when a Job or pod appears or ends; `watch_cache.py` remembers what it reported.

The rules on what proves a Job gone are not here but in `teardown/attempt.py`. Invariants: only an answer of a
Kubernetes API server counts as "not found", and each DELETE names the uid of one Job and includes its pods.
"""
