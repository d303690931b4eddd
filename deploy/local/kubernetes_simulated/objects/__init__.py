"""The objects of the simulated API server and the rules of the API for them: create, update, delete, list, watch.

Read `store.py` first. Invariants: a stored object is never changed in place, and every change gets a higher
`resourceVersion`. Errors carry the Status body of the real server (`status.py`). No HTTP except in `watching.py`.
"""
