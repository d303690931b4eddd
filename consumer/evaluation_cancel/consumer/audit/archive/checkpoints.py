"""Checkpoints: the heads of all chains in a file outside the archive. A later `verify` checks that none was cut off.

Plain text, one line for each chain: `topic partition next-offset digest`. Keep the file where the archive's writers
cannot change it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evaluation_cancel.consumer.audit.archive.chain import Head
from evaluation_cancel.consumer.audit.kafka.reading import Partition
from evaluation_cancel.consumer.domain.errors import Refusal


def write_checkpoints(path: Path, heads: Mapping[Partition, Head]) -> None:
    """Write the heads of all chains that have a link."""
    lines = [
        f"{topic} {partition} {head.next_offset} {head.digest}\n"
        for (topic, partition), head in sorted(heads.items())
        if head.digest is not None
    ]
    path.write_text("".join(lines))


def read_checkpoints(path: Path) -> dict[Partition, Head]:
    """Read heads that `write_checkpoints` wrote. Raises `Refusal` if the file cannot be read or parsed."""
    heads = {}
    try:
        for line in path.read_text().splitlines():
            topic, partition, next_offset, digest = line.split(" ")
            heads[topic, int(partition)] = Head(next_offset=int(next_offset), digest=digest)
    except (OSError, ValueError) as error:
        raise Refusal("unreadable_heads", f"{path}: {error}") from error
    return heads
