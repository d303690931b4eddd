"""The demo: a story of several cancellations on a running system, told as it happens and checked at its end.

`story` has the order of the acts, `acts` and `kill` what happens in each. What is told goes through `screen`; what was
told is checked in `checks` against Postgres, the cluster, the bucket and the events topic, by clients of its own.
"""
