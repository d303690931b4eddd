"""What a real Kafka broker needs on this machine: Java, the jars by Maven, and a class archive for a quick start.

Jars and archive are kept in the cache. How the broker is run is in `real.py`.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StandError
from deploy.local.processes.cache import kept
from deploy.local.processes.process import workspace

NEEDED_JAVA = 17
DOWNLOAD_LIMIT = 15 * 60.0
_POM = Path(__file__).parent / "kafka_real.pom.xml"
_JVM = ("-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xshare:auto")


@dataclass(frozen=True, kw_only=True, slots=True)
class Java:
    program: str
    version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class KafkaPrograms:
    """How to start a main class from the jars."""

    java: Java
    jars: Path
    archive: Path | None = None

    def command(self, *arguments: str | Path, jvm: tuple[str, ...] = ()) -> list[str]:
        # In a fixed order: the archive is of use only to the class path it was made with.
        path = os.pathsep.join(str(jar) for jar in sorted(self.jars.glob("*.jar")))
        shared = (f"-XX:SharedArchiveFile={self.archive}",) if self.archive else ()
        return [self.java.program, *_JVM, *shared, *jvm, "-cp", path, *map(str, arguments)]


async def kafka_programs(record_classes: Callable[[KafkaPrograms, Path], Awaitable[None]]) -> KafkaPrograms:
    """From the cache if they are there; `record_classes` runs a broker once to write the class archive."""
    java = find_java()
    jars = await kept("kafka-jars", _POM.read_bytes(), make=_download)
    bare = KafkaPrograms(java=java, jars=jars)

    async def record(into: Path) -> None:
        await record_classes(bare, into / "kafka.jsa")

    archive = await kept("kafka-classes", java.version, java.program, str(jars), platform.machine(), *_JVM, make=record)
    return KafkaPrograms(java=java, jars=jars, archive=archive / "kafka.jsa")


def find_java() -> Java:
    home = os.environ.get("JAVA_HOME")
    program = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if program is None:
        where = f"in JAVA_HOME ({home})" if home else "here"
        raise StandError("java_missing", f"real Kafka needs Java {NEEDED_JAVA} or newer; there is no `java` {where}")
    told = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', told)
    if found is None or int(found[1]) < NEEDED_JAVA:
        raise StandError("java_too_old", f"real Kafka needs Java {NEEDED_JAVA} or newer; {program} is: {told.strip()}")
    return Java(program=program, version=told)


async def _download(into: Path) -> None:
    print("Downloading the jars of Kafka, once.", file=sys.stderr, flush=True)
    await download_jars(_POM, into)


async def download_jars(pom: Path, into: Path) -> None:
    """The jars that this file of Maven asks for, into a folder."""
    maven = shutil.which("mvn")
    if maven is None:
        raise StandError("maven_missing", "the jars of real Kafka are downloaded with Maven; there is no `mvn` here")
    goal = "dependency:copy-dependencies"
    command: list[str | Path] = [
        maven,
        "-B",
        "-q",
        "-f",
        pom,
        goal,
        "-DincludeScope=runtime",
        f"-DoutputDirectory={into}",
    ]
    async with workspace() as work:
        await work.run("maven", command, limit=DOWNLOAD_LIMIT)
