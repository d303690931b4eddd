"""Sorts lines by evaluation on disk, so that verifying years of history needs the memory of a small part of it.

Lines go to one of some hundred temporary files by the evaluation they are about; each file is then small enough to be
looked at as a whole. They hold what the archive holds, uncompressed, and are gone afterwards.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from uuid import UUID

BUCKETS: Final = 256
_BUFFERED: Final = 64 * 1024


class Spill:
    """Write with `add`, then read with `buckets`. A context, whose end removes the files."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="evaluation-cancel-verify-")
        self._waiting: dict[int, list[bytes]] = {}
        self._sizes: dict[int, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._directory.cleanup()

    def add(self, evaluation: UUID, line: bytes) -> None:
        """`line` ends with its newline and holds no other."""
        bucket = evaluation.int % BUCKETS
        self._waiting.setdefault(bucket, []).append(line)
        self._sizes[bucket] = self._sizes.get(bucket, 0) + len(line)
        if self._sizes[bucket] > _BUFFERED:
            self._write(bucket)

    def buckets(self) -> Iterator[list[bytes]]:
        """The lines of each bucket in the order they came in. All lines of an evaluation are in one."""
        for bucket in list(self._waiting):
            self._write(bucket)
        for bucket in range(BUCKETS):
            path = self._path(bucket)
            if path.exists():
                yield path.read_bytes().splitlines(keepends=True)

    def _write(self, bucket: int) -> None:
        with self._path(bucket).open("ab") as file:
            file.writelines(self._waiting.pop(bucket, ()))
        self._sizes[bucket] = 0

    def _path(self, bucket: int) -> Path:
        return Path(self._directory.name) / f"{bucket:03d}"
