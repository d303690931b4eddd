"""Audit: tell, replay, archive and verify what was decided, years later too. docs/audit.md says how, and its limits.

Nothing here changes the system or joins a group of it. `audit/archive/writer.py` writes the archive,
`audit/archive/reader.py` and `audit/kafka/reading.py` read history, and each use case has a file: `explain`, `replay`,
`verify`, `report`. The command line is `audit/cli/entry.py`; the clients of Kafka and S3 (`audit/kafka/client.py`,
`audit/archive/s3_object_store.py`) are opened by `audit/cli/wiring.py` alone.
"""
