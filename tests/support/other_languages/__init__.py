"""Writers of commands in other languages, with the libraries their users have: what they need is got once and kept.

The CloudEvents SDKs of Java, Go and JavaScript, and Spring's header mapper. The SDK of Python is in the tests' own
environment.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.kafka.jars import download_jars, find_java
from deploy.local.kubernetes_real.build import go_binary
from deploy.local.processes.cache import kept
from deploy.local.processes.process import workspace

_HERE = Path(__file__).parent
_LIMIT = 90.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Writers:
    """The command lines that write one command, but for their arguments."""

    class_path: str
    modules: Path
    """Where JavaScript finds its libraries."""
    java: Sequence[str]
    spring: Sequence[str]
    go: Sequence[str]
    javascript: Sequence[str]

    async def write(self, language: str, *arguments: str) -> None:
        """Run one: its arguments are the bootstrap servers, the topic, the evaluation's id and its mode."""
        async with workspace() as work:
            await work.run(language, [*getattr(self, language), *arguments], limit=_LIMIT)

    async def run_program(self, language: str, program: str, *arguments: str) -> None:
        """Run the text of a program, as a page of the documentation shows it."""
        async with workspace() as work:
            folder = work.directory / "program"
            folder.mkdir()
            command = await self._prepared(language, program, folder)
            await work.run(language, [*command, *arguments], limit=_LIMIT)

    async def _prepared(self, language: str, program: str, folder: Path) -> list[str]:
        file = folder / {"sh": "cancel.sh", "python": "cancel.py", "java": "Cancel.java", "go": "main.go"}.get(
            language, "cancel.js"
        )
        file.write_text(program)
        match language:
            case "sh":
                return ["sh", str(file)]
            case "python":
                return [sys.executable, str(file)]
            case "java":
                return [find_java().program, "-cp", self.class_path, str(file)]
            case "go":
                for name in ("go.mod", "go.sum"):
                    shutil.copy(_HERE / "go" / name, folder)
                return [str(await go_binary("documented", folder, "Building the documented program in Go, once."))]
        (folder / "node_modules").symlink_to(self.modules / "node_modules")
        return ["node", str(file)]


async def writers() -> Writers:
    """All four, from the cache if they are there."""
    go = await go_binary("stranger", _HERE / "go", "Building the writer in Go, once.")
    modules = await _node_modules()
    jars = await kept("stranger-jars", (_HERE / "java/pom.xml").read_bytes(), make=_download)
    path = os.pathsep.join(str(jar) for jar in sorted(jars.glob("*.jar")))
    java = [find_java().program, "-XX:TieredStopAtLevel=1", "-cp", path]
    return Writers(
        class_path=path,
        modules=modules,
        java=[*java, str(_HERE / "java/CloudEvents.java")],
        spring=[*java, str(_HERE / "java/SpringHeaders.java")],
        go=[str(go)],
        javascript=["node", str(modules / "write.js")],
    )


async def _download(into: Path) -> None:
    await download_jars(_HERE / "java/pom.xml", into)


async def _node_modules() -> Path:
    sources = [_HERE / "javascript" / name for name in ("package.json", "package-lock.json", "write.js")]

    async def install(into: Path) -> None:
        for source in sources:
            shutil.copy(source, into)
        async with workspace() as work:
            await work.run("npm", ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], limit=_LIMIT, cwd=into)

    return await kept("stranger-javascript", *(source.read_bytes() for source in sources), make=install)
