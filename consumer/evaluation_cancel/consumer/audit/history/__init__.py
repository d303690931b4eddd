"""Reads history, from the archive and from Kafka, as one stream of records.

`history.py` joins both sources without gaps or repeats, `selection.py` filters, `facts.py` reads a record leniently,
`strict.py` reads it strictly, `row_check.py` compares records with rows, `wording.py` names facts for people.
"""
