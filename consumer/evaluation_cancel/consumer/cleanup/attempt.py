"""One attempt to clean up the artifacts of a cancelled evaluation: abort uploads, delete, list again until empty.

No SQL and no S3 client: it calls the port of `s3/port.py`, deletes only keys that `deletable_keys.py` permits, and
returns a `CleanupOutcome`. The report names everything that could not be deleted or listed. Nothing here can delay or
fail the cancellation, which is over by now. The loop is in `loop.py`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from evaluation_cancel.consumer.cleanup.deletable_keys import DeletablePrefix, deletable_prefix
from evaluation_cancel.consumer.domain.cleanups import (
    KEPT_IN_REPORT,
    ClaimedCleanup,
    Cleaned,
    CleanupOutcome,
    CleanupReport,
    KeptObject,
    RetryCleanup,
)
from evaluation_cancel.consumer.domain.errors import Refusal, TemporaryError, scrub
from evaluation_cancel.consumer.runtime.backoff import jittered_delay
from evaluation_cancel.consumer.s3.port import MOST_KEYS, Artifacts, StoredObject

_PASSES = 5
_MOST_FAILURES = 10_000
_BACKOFF_BASE = 2.0
_BACKOFF_CAP = 300.0


class _LeaseUsedUpError(Exception):
    """The next attempt continues."""


async def clean(row: ClaimedCleanup, artifacts: Artifacts, *, now: Callable[[], datetime]) -> CleanupOutcome:
    """Deletes the artifacts until none is left or the lease is used up. `now` is compared with the row's deadline."""
    deletable = deletable_prefix(row.evaluation_id, bucket=row.bucket, prefix=row.prefix, request_key=row.request_key)
    sweep = _Sweep(row=row, artifacts=artifacts, bucket=row.bucket or "", uploads=row.report.aborted_uploads)
    if isinstance(deletable, str):
        sweep.codes[deletable] += 1
        return Cleaned(report=sweep.report(), state="partial")
    try:
        await sweep.run(deletable)
    except _LeaseUsedUpError:
        return sweep.continue_later("continued", "the lease was used up", 0.0, now())
    except Refusal as refusal:
        sweep.codes[refusal.code] += 1
        return Cleaned(report=sweep.report(), state="partial")
    except TemporaryError as error:
        return sweep.continue_later(error.code, error.detail, retry_pause(row.errors, error.retry_after), now())
    if sweep.unsettled:
        code, count = sweep.unsettled.most_common(1)[0]
        return sweep.continue_later(code, f"{count} objects could not be deleted yet", retry_pause(row.errors), now())
    return Cleaned(report=sweep.report(), state="partial" if sweep.codes or sweep.failed else "done")


@dataclass(kw_only=True, slots=True)
class _Sweep:
    """The state of this attempt; `report` adds the deletions of earlier attempts."""

    row: ClaimedCleanup
    artifacts: Artifacts
    bucket: str
    uploads: int
    deleted: int = 0
    deleted_bytes: int = 0
    versions: int | None = None
    codes: Counter[str] = field(default_factory=Counter)
    """Final codes other than those of single keys; any of them makes the cleanup partial."""
    unsettled: Counter[str] = field(default_factory=Counter)
    """Codes of objects that the last pass could not delete but another attempt may."""
    failed: dict[str, str] = field(default_factory=dict)
    """Keys that cannot be deleted, with the code."""
    kept: dict[str, str] = field(default_factory=dict)
    kept_count: int = 0

    async def run(self, deletable: DeletablePrefix) -> None:
        await self._abort_uploads(deletable)
        for _ in range(_PASSES):
            self.unsettled.clear()
            self.kept.clear()
            self.kept_count = 0
            if not await self._pass(deletable):
                break
        else:
            self.unsettled["not_empty"] += 1
        if not self.unsettled:
            await self._count_versions(deletable)

    async def _abort_uploads(self, deletable: DeletablePrefix) -> None:
        """Aborts multipart uploads, which no list of objects shows. Without the rights, the report only says so."""
        try:
            async for page in self.artifacts.uploads(self.bucket, deletable.prefix):
                for upload in page:
                    if deletable.why_kept(upload.key) is None:
                        self._may_write()
                        await self.artifacts.abort(self.bucket, upload)
                        self.uploads += 1
        except (Refusal, TemporaryError) as error:
            if isinstance(error, TemporaryError) and error.code != "not_implemented":
                raise
            self.codes[f"uploads_{error.code}"] += 1

    async def _pass(self, deletable: DeletablePrefix) -> bool:
        """Lists all objects and deletes those that may be deleted. False if there were none."""
        found = False
        async for page in self.artifacts.objects(self.bucket, deletable.prefix):
            doomed = [stored for stored in page if self._may_go(deletable, stored)]
            for start in range(0, len(doomed), MOST_KEYS):
                found = True
                await self._delete(doomed[start : start + MOST_KEYS])
            if len(self.failed) >= _MOST_FAILURES:
                return False  # so many refusals: the rest will be refused too
        return found

    def _may_go(self, deletable: DeletablePrefix, stored: StoredObject) -> bool:
        why = deletable.why_kept(stored.key)
        if why is None:
            return stored.key not in self.failed
        self.kept_count += 1
        if len(self.kept) < KEPT_IN_REPORT:
            self.kept[stored.key] = why
        if why != "request_file":
            self.codes[why] = 1
        return False

    async def _delete(self, doomed: Sequence[StoredObject]) -> None:
        self._may_write()
        answer = await self.artifacts.delete(self.bucket, [stored.key for stored in doomed])
        undeleted = {failure.key: failure for failure in answer}
        for stored in doomed:
            failure = undeleted.get(stored.key)
            if failure is None:
                self.deleted += 1
                self.deleted_bytes += stored.size
            elif failure.final:
                self.failed[stored.key] = failure.code
            else:
                self.unsettled[failure.code] += 1

    async def _count_versions(self, deletable: DeletablePrefix) -> None:
        """Counts old versions: a delete in a versioned bucket only hides them, and they still take storage."""
        count = 0
        try:
            async for keys in self.artifacts.old_versions(self.bucket, deletable.prefix):
                count += sum(deletable.why_kept(key) is None for key in keys)
        except (Refusal, TemporaryError):
            return
        self.versions = count

    def _may_write(self) -> None:
        if time.monotonic() >= self.row.deadline:
            raise _LeaseUsedUpError

    def continue_later(self, code: str, detail: str, retry_in: float, moment: datetime) -> CleanupOutcome:
        """Another attempt, unless the cleanup's own deadline has passed."""
        if moment < self.row.deadline_at:
            return RetryCleanup(report=self.report(), code=code, detail=detail, retry_in=retry_in)
        self.codes["deadline"] += 1
        self.codes[code] += 1
        return Cleaned(report=self.report(), state="partial")

    def report(self) -> CleanupReport:
        """The report of this attempt and all earlier ones."""
        before = self.row.report
        sample = [*self.kept.items(), *self.failed.items()][:KEPT_IN_REPORT]
        return CleanupReport(
            deleted_count=before.deleted_count + self.deleted,
            deleted_bytes=before.deleted_bytes + self.deleted_bytes,
            kept_count=self.kept_count,
            failed_count=len(self.failed) + self.unsettled.total(),
            kept=tuple(KeptObject(key=scrub(key), why=why) for key, why in sample),
            failed_codes=dict(self.codes + Counter(self.failed.values()) + self.unsettled),
            aborted_uploads=self.uploads,
            versions_retained=self.versions,
        )


def retry_pause(errors: int, retry_after: float | None = None) -> float:
    """Seconds until the next attempt, never less than the store's `retry_after`."""
    return max(jittered_delay(errors, base=_BACKOFF_BASE, cap=_BACKOFF_CAP, least_share=0.05), retry_after or 0.0)
