"""Sorts lines by evaluation into temporary files, so that verifying years of history needs little memory.

All lines of an evaluation go to the same file, and each file is small enough to be read as a whole. Together the files
are as large as the uncompressed archive. They are removed at the end.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from uuid import UUID

BUCKETS: Final = 256
_MOST_BUFFERED: Final = 64 * 1024


class DiskBuckets:
    """Write with `add`, then read with `buckets`. A context manager that removes the files at its end."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="evaluation-cancel-verify-")
        self._buffered: dict[int, list[bytes]] = {}
        self._sizes: dict[int, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._directory.cleanup()

    def add(self, evaluation: UUID, line: bytes) -> None:
        """Add a line, which must end with a newline and contain no other."""
        bucket = evaluation.int % BUCKETS
        self._buffered.setdefault(bucket, []).append(line)
        self._sizes[bucket] = self._sizes.get(bucket, 0) + len(line)
        if self._sizes[bucket] > _MOST_BUFFERED:
            self._write(bucket)

    def buckets(self) -> Iterator[list[bytes]]:
        """The lines of each bucket, in the order in which they were added."""
        for bucket in list(self._buffered):
            self._write(bucket)
        for bucket in range(BUCKETS):
            path = self._path(bucket)
            if path.exists():
                yield path.read_bytes().splitlines(keepends=True)

    def _write(self, bucket: int) -> None:
        with self._path(bucket).open("ab") as file:
            file.writelines(self._buffered.pop(bucket, ()))
        self._sizes[bucket] = 0

    def _path(self, bucket: int) -> Path:
        return Path(self._directory.name) / f"{bucket:03d}"
