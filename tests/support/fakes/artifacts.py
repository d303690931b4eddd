"""An object store in memory, with errors on demand. Implements the port of the cleanup."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from evaluation_cancel.consumer.s3.port import MOST_KEYS, StoredObject, Undeleted, Upload


class MemoryArtifacts:
    """`stored` maps keys to sizes.

    `denied` maps keys to the code that each delete of them fails with, `busy` to the number of deletes that fail, and
    `faults` maps method names to exceptions that the next calls raise.
    """

    def __init__(self, stored: dict[str, int], *, page: int = 1000) -> None:
        self.stored = dict(stored)
        self.open_uploads: list[Upload] = []
        self.versions: list[str] = []
        self.denied: dict[str, str] = {}
        self.busy: dict[str, int] = {}
        self.faults: dict[str, list[Exception]] = {}
        self.deletes: list[list[str]] = []
        self.aborted: list[Upload] = []
        self._page = page

    async def objects(self, bucket: str, prefix: str) -> AsyncIterator[list[StoredObject]]:  # noqa: ARG002
        self._fail("objects")
        found = [
            StoredObject(key=key, size=size) for key, size in sorted(self.stored.items()) if key.startswith(prefix)
        ]
        for start in range(0, len(found), self._page):
            yield found[start : start + self._page]

    async def delete(self, bucket: str, keys: Sequence[str]) -> list[Undeleted]:  # noqa: ARG002
        self._fail("delete")
        assert len(keys) <= MOST_KEYS
        self.deletes.append(list(keys))
        undeleted = []
        for key in keys:
            if key in self.denied:
                undeleted.append(Undeleted(key=key, code=self.denied[key], final=True))
            elif self.busy.get(key, 0) > 0:
                self.busy[key] -= 1
                undeleted.append(Undeleted(key=key, code="slow_down", final=False))
            else:
                self.stored.pop(key, None)
        return undeleted

    async def uploads(self, bucket: str, prefix: str) -> AsyncIterator[list[Upload]]:  # noqa: ARG002
        self._fail("uploads")
        yield [upload for upload in self.open_uploads if upload.key.startswith(prefix)]

    async def abort(self, bucket: str, upload: Upload) -> None:  # noqa: ARG002
        self._fail("abort")
        self.aborted.append(upload)

    async def old_versions(self, bucket: str, prefix: str) -> AsyncIterator[list[str]]:  # noqa: ARG002
        self._fail("old_versions")
        yield [key for key in self.versions if key.startswith(prefix)]

    def _fail(self, verb: str) -> None:
        faults = self.faults.get(verb)
        if faults:
            raise faults.pop(0)
