"""The archive: records of the three topics as signed, chained segments in an object store.

`writer.py` appends, `reader.py` reads, `link.py` and `chain.py` define the chain, `keys.py` the object names,
`segment.py` and `data_object.py` the contents, `signing.py` the signatures, `checkpoints.py` the noted chain ends.
`s3_object_store.py` is the only module with an S3 client. Invariant: a link is written by a conditional put and never
changed.
"""
