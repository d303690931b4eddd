"""A real S3 server on one machine: versitygw's gateway over its POSIX backend, built from `go/`.

`server.py` builds it once and starts it. Objects are files, so a key cannot be a folder of another key's.
"""
