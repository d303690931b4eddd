"""The ends of all chains, noted outside the archive: a later `verify` shows by them that nothing was cut off since.

Plain text, `topic partition next-offset digest` a line, to be kept where the archive's writers cannot reach it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evaluation_cancel.consumer.audit.archive.chain import Head
from evaluation_cancel.consumer.audit.kafka.reading import Partition
from evaluation_cancel.consumer.domain.errors import Refusal


def write_heads(path: Path, heads: Mapping[Partition, Head]) -> None:
    lines = [
        f"{topic} {partition} {head.next_offset} {head.digest}\n"
        for (topic, partition), head in sorted(heads.items())
        if head.digest is not None
    ]
    path.write_text("".join(lines))


def read_heads(path: Path) -> dict[Partition, Head]:
    """Raises `Refusal` for a file in another form."""
    heads = {}
    try:
        for line in path.read_text().splitlines():
            topic, partition, next_offset, digest = line.split(" ")
            heads[topic, int(partition)] = Head(next_offset=int(next_offset), digest=digest)
    except (OSError, ValueError) as error:
        raise Refusal("unreadable_heads", f"{path}: {error}") from error
    return heads
