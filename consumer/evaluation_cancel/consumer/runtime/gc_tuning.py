"""Garbage collection for a process that makes and drops many small objects a message, none of them in cycles.

Python's defaults look for cycles at every 700 new objects, which took a third of the consumer's time. References are
counted as ever, so that memory is given back at once; only the search for cycles becomes rare.
"""

from __future__ import annotations

import gc
from typing import Final

_THRESHOLDS: Final = (100_000, 20, 50)
"""New objects before a search among the young; searches of each generation before one among the next older."""


def search_rarely() -> None:
    """To be called once all is loaded: what is there by then is never searched again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
