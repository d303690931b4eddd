"""The Console's published clients, each installed apart from ours: its command line and its SDK.

The lists beside this file were made by `uv pip compile --universal --python-version 3.11 --generate-hashes`.
"""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from deploy.local.processes.cache import kept
from deploy.local.processes.process import workspace

_HERE = Path(__file__).parent
_LIMIT = 300.0
_SDK = """
import json, sys
from vijil._generated.resources.evaluations import EvaluationsGeneratedResource
from vijil.config import VijilConfig
from vijil.http import VijilHTTP
http = VijilHTTP(gateway_url=sys.argv[1], token=sys.argv[2])
evaluations = EvaluationsGeneratedResource(http, VijilConfig())
print(json.dumps(evaluations.cancel(sys.argv[3])))
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """What a client said, on both outputs, and how it ended."""

    code: int
    said: str


async def cancel_by_command_line(home: Path, url: str, token: str, evaluation: str) -> Ran:
    """`vijil-console eval cancel ID`."""
    settings = {"VIJIL_CONSOLE_URL": url, "VIJIL_API_KEY": token}
    return await _run("vijil-console", home, ["-m", "vijil_cli", "eval", "cancel", evaluation], settings)


async def cancel_by_sdk(home: Path, url: str, token: str, evaluation: str) -> Ran:
    """The generated resource of the SDK."""
    return await _run("vijil-sdk", home, ["-c", _SDK, url, token, evaluation], {})


async def _run(name: str, home: Path, arguments: list[str], settings: dict[str, str]) -> Ran:
    installed = await _installed(name)
    environment = {"PYTHONPATH": str(installed), "HOME": str(home), "PATH": os.defpath, **settings}
    process = await asyncio.create_subprocess_exec(
        _interpreter(), *arguments, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(_LIMIT):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return Ran(code=process.returncode, said=said.decode())


def _interpreter() -> str:
    """The Python that our environment was made from, which sees none of our packages."""
    return str(Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}")


async def _installed(name: str) -> Path:
    listed = _HERE / f"{name}.txt"

    async def install(into: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes"]
        async with workspace() as work:
            await work.run("pip", [*pip, "--target", into, "-r", listed], limit=_LIMIT)

    return await kept(name, listed.read_bytes(), sys.version, make=install)
