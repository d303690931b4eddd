"""Who lacks a tool is told which one and what for; who has the cache needs none of the tools that filled it."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local.errors import StandError
from deploy.local.kafka.jars import find_java
from deploy.local.kafka.real import prepare_kafka
from deploy.local.kubernetes_real.build import kubernetes_binary
from deploy.local.play.prepare import prepare

Tool = Callable[[str, str], None]


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """A machine with an empty cache and no tools but those the test makes, each a script."""
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("EVALUATION_CANCEL_CACHE", str(tmp_path / "cache"))

    def make(name: str, prints: str) -> None:
        tool = tools / name
        tool.write_text(f"#!/bin/sh\necho '{prints}'\necho '{prints}' >&2\n")
        tool.chmod(0o755)

    return make


async def test_without_java_real_kafka_says_so(bare: Tool) -> None:
    with pytest.raises(StandError, match="needs Java 17 or newer") as error:
        await prepare_kafka()
    assert error.value.code == "java_missing"


async def test_an_old_java_is_refused_with_its_version(bare: Tool) -> None:
    bare("java", 'openjdk version "11.0.2" 2019-01-15')
    with pytest.raises(StandError, match=r"11\.0\.2") as error:
        await prepare_kafka()
    assert error.value.code == "java_too_old"


async def test_without_maven_and_without_jars_real_kafka_says_so(bare: Tool) -> None:
    bare("java", 'openjdk version "21.0.2" 2024-01-16')
    with pytest.raises(StandError, match="Maven") as error:
        await prepare_kafka()
    assert error.value.code == "maven_missing"


def test_java_is_looked_for_where_java_home_says(bare: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare("java", 'openjdk version "21.0.2" 2024-01-16')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(StandError, match="elsewhere"):
        find_java()


async def test_without_go_the_real_kubernetes_says_so(bare: Tool) -> None:
    with pytest.raises(StandError, match=r"Go 1\.26 or newer") as error:
        await kubernetes_binary()
    assert error.value.code == "go_missing"


async def test_an_old_go_is_refused_with_its_version(bare: Tool) -> None:
    bare("go", "go1.22.1")
    with pytest.raises(StandError, match=r"go1\.22\.1") as error:
        await kubernetes_binary()
    assert error.value.code == "go_too_old"


@pytest.mark.usefixtures("bare")
def test_the_command_line_says_it_in_one_line_and_fails() -> None:
    command = [sys.executable, "-m", "deploy.local", "up", "--kafka", "real"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert told.returncode == 1
    assert told.stderr.startswith("java_missing: real Kafka needs Java 17")
    assert len(told.stderr.splitlines()) == 1


@pytest.mark.real
async def test_a_second_start_builds_and_downloads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    await prepare()
    java = shutil.which("java")
    assert java is not None
    # Neither Maven nor Go can be found any more; Java is where it was.
    monkeypatch.setenv("JAVA_HOME", str(Path(java).parents[1]))
    monkeypatch.setenv("PATH", "")
    await prepare()
