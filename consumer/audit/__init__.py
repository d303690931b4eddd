"""Audit: tell, replay, archive and verify what was decided, years later too. docs/audit.md says how, and its limits.

Nothing here changes the system or joins a group of it. `archive.py` writes the archive, `archive_reading.py` and
`kafka_reading.py` read history, and each use case has a file: `explain`, `replay`, `verify`, `report`. The command
line is `cli.py`; the clients of Kafka and S3 (`kafka_log.py`, `s3_object_store.py`) are opened by `parts.py` alone.
"""
