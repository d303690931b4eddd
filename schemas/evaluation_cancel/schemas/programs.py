"""Runs a program that prints a secret or a credential, with a time limit. It is killed when it takes longer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

_SHOWN: Final = 300
"""Characters of what a program that failed complained of."""


class ProgramError(Exception):
    """The program printed nothing to use. The text begins with its name."""


async def printed_by(command: Sequence[str], *, limit: float, environment: Mapping[str, str] | None = None) -> bytes:
    """What the program prints, within `limit` seconds. `environment` takes the place of ours."""
    name, pipe = command[0], asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
    except OSError as error:
        raise ProgramError(f"{name!r} cannot be run: {error.strerror}") from None
    try:
        async with asyncio.timeout(limit):
            printed, complained = await process.communicate()
    except TimeoutError:
        raise ProgramError(f"{name!r} had not ended after {limit:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        said = complained.decode(errors="replace").strip()[-_SHOWN:]
        raise ProgramError(f"{name!r} ended with {process.returncode}: {said}")
    return printed
