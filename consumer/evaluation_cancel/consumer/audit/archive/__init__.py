"""The archive: Kafka records in gzipped objects, and for each object a signed link in a chain of its partition.

Read `link.py` (one link) and `writer.py` (the archiver) first. `segment.py` builds an object, `chain.py` finds the end
of a chain, `reader.py` reads records back, `keys.py` is the layout. `object_store.py` is the port, `s3_object_store.py`
its implementation on S3. Whether a whole chain is intact is checked in `verify`, not here.

Invariants: objects are created, never overwritten or deleted. An object belongs to the archive only if a link names it.
A link accounts for each offset of its range once: record, absent or expired. It names the previous link by digest.
"""
