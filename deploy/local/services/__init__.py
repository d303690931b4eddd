"""Postgres, S3 and a token issuer for the stand, one module each.

Each module starts its service and yields a handle with address and credentials. None of them creates a schema, a
bucket or a user of the service: `stand/system.py` does.
"""
