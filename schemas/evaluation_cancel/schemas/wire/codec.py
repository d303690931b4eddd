"""The record codec for other packages. Its parts are `encoding.py`, `decoding.py` and `dead_letters.py`."""

from evaluation_cancel.schemas.wire.dead_letters import dead_letter
from evaluation_cancel.schemas.wire.decoding import BARE_SOURCE, COMMAND_TYPE, decode_command, decode_event
from evaluation_cancel.schemas.wire.encoding import encode_command, encode_event
from evaluation_cancel.schemas.wire.records import MAX_VALUE_BYTES, EncodedRecord, RawRecord, UndecodableRecord

__all__ = [
    "BARE_SOURCE",
    "COMMAND_TYPE",
    "MAX_VALUE_BYTES",
    "EncodedRecord",
    "RawRecord",
    "UndecodableRecord",
    "dead_letter",
    "decode_command",
    "decode_event",
    "encode_command",
    "encode_event",
]
