"""The HTTP server around the application: uvicorn, limits on requests, one log line and metrics for each.

`run.py` starts and stops it, `limits.py` and `protocol.py` bound headers, bodies and times, `traffic.py` logs and
counts. No operation is defined here.
"""
