"""The HTTP side of the simulated API server: authentication, authorization, verbs, faults, remote control.

Read `server.py` first (the order in which a request is handled), then `api.py` (the verbs). What a verb does to an
object is in `objects`; what happens after the answer is in `controllers`.
"""
