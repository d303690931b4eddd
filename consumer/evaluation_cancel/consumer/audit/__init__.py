"""Audit: explain, replay, archive, verify and report past cancellations. Nothing here changes the running system.

Start with `cli/commands.py`. The use cases are the packages `explain`, `replay`, `verify` and `report`. They read past
records through `history`, which reads them from Kafka (`kafka`) or from the archive (`archive`). docs/audit.md
describes the commands, the archive's format and the limits of the proof.

Invariants: no command joins a consumer group, commits an offset or writes to Postgres. The archive is append-only. Only
`cli/wiring.py` opens clients, only `kafka/client.py` imports aiokafka, and only `archive/s3_object_store.py` botocore.
"""
