"""How messages cross Kafka: CloudEvents in binary and structured mode, and bare JSON commands.

`codec.py` is what other packages import. `decoding.py` and `encoding.py` do the work, `dead_letters.py` builds dead
letters, `headers_decoder.py` lets aiokafka read header names that are not UTF-8.
Invariant: decoding raises nothing but `UndecodableRecord`, whatever the bytes are.
"""
