"""The service's access to S3: lists and deletes objects, and ends multipart uploads.

Read `port.py` first: the calls that the cleanup needs, without any client. `artifacts.py` implements them and turns
the client's failures into `TemporaryError` and `Refusal`; `connect.py` opens the client.

Which keys may be deleted is decided in `cleanup/deletable_keys.py`, the order and the report in `cleanup/attempt.py`.
The audit archive uses `open_client` for its own bucket.
"""
