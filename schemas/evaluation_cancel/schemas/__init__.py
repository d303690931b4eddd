"""The messages of this system: one command, five events, their envelope and their topics.

Read `commands.py` and `events.py` first; `fields.py` bounds every field. `wire/` encodes them for Kafka.
`kafka_settings.py` and `log_lines.py` are shared by the services and need the extra `service`.
`generate.py` writes the JSON Schemas. Nothing here imports the consumer or the producer.
"""
