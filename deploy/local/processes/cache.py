"""What is slow to make or to download is made once and kept outside the tree.

The folder is `~/.cache/evaluation-cancel`, or `EVALUATION_CANCEL_CACHE`. An entry is made in a directory of its own and
renamed when it is whole; a lock lets a second process wait for the first instead of making it again. Entries are never
changed afterwards: what goes into one is part of its name.
"""

import asyncio
import fcntl
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path


def cache_folder() -> Path:
    chosen = os.environ.get("EVALUATION_CANCEL_CACHE")
    folder = Path(chosen) if chosen else Path.home() / ".cache" / "evaluation-cancel"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fingerprint(*parts: bytes | str) -> str:
    """A short name for exactly these parts in this order."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]


async def kept(name: str, *parts: bytes | str, make: Callable[[Path], Awaitable[None]]) -> Path:
    """The folder of this entry; `make` fills an empty directory if there is none yet."""
    entry = cache_folder() / f"{name}-{fingerprint(*parts)}"
    if entry.exists():
        return entry
    async with _locked(entry.parent / f"{entry.name}.lock"):
        if not entry.exists():
            unfinished = entry.parent / f"{entry.name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            await make(unfinished)
            unfinished.rename(entry)
    return entry


@asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    # The kernel releases the lock when its holder dies, so a killed build blocks no other.
    with path.open("w") as file:
        while not _try_lock(file.fileno()):  # noqa: ASYNC110  another process sets no event
            await asyncio.sleep(0.2)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
