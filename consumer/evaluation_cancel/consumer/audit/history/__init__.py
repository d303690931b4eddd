"""Past records as one stream, from Kafka or from the archive, with filters, facts and sentences about each record.

Read `history.py` first: `KafkaHistory` and `ArchiveHistory` give the same pieces. `selection.py` filters them.
`facts.py` reads a record leniently for display and filters; `strict.py` decodes it as the service does, for `verify`.
`row_check.py` compares a cancellation's row with an event, `wording.py` turns facts into text, `progress.py` shows a
bar.

Invariants: records of a partition come in their order. A reading ends at the end that was known at its start. Gaps and
expired ranges are reported to the caller.
"""
