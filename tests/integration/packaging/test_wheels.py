"""The wheels hold our namespace only; the thin ones work beside an application with modules named as our folders."""

from __future__ import annotations

import asyncio
import importlib.metadata
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from deploy.local.stand.stack import Stack
from evaluation_cancel.schemas.topics import Topics

ROOT = Path(__file__).parents[3]
FOLDERS = ("schemas", "producer", "consumer")
THIRD_PARTY = ("aiokafka", "cramjam", "orjson", "pydantic")
APPLICATION = """
import asyncio, importlib.util, sys
import consumer, deploy, producer, schemas
from evaluation_cancel.producer.outcomes import OutcomeFollower
from evaluation_cancel.producer.publisher import Publisher
from evaluation_cancel.schemas.commands import RequestedBy
from evaluation_cancel.schemas.topics import Topics

assert {m.OWN for m in (consumer, deploy, producer, schemas)} == {"the application's"}
heavy = ["asyncpg", "fastapi", "httpx", "pydantic_settings", "rich", "structlog", "typer", "uvicorn"]
assert [name for name in heavy if importlib.util.find_spec(name)] == []


async def main(servers, prefix, evaluation):
    client, topics = {"bootstrap_servers": servers}, Topics(prefix)
    follower = OutcomeFollower(client=client, topics=topics)
    publisher = Publisher(client=client, source="/app", topics=topics)
    async with follower, publisher:
        receipt = await publisher.cancel(evaluation, RequestedBy(kind="user", id="ada", team_ids=("blue",)))
        print(receipt.command_id)


asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel of each folder, built from a copy so that nothing is left in the tree."""
    sources, built = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheels")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, sources / folder, ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(built)]
    subprocess.run([*build, *(str(sources / folder) for folder in FOLDERS)], check=True, timeout=100)
    names = {
        "schemas": "evaluation_cancel_schemas",
        "producer": "evaluation_cancel_producer",
        "consumer": "evaluation_cancel",
    }
    return {folder: next(built.glob(f"{names[folder]}-*.whl")) for folder in FOLDERS}


def contents(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_wheel_has_nothing_but_its_part_of_the_namespace(wheels: dict[str, Path], folder: str) -> None:
    files = {name for name in contents(wheels[folder]) if ".dist-info/" not in name}
    assert all(name.startswith(f"evaluation_cancel/{folder}/") for name in files)
    assert f"evaluation_cancel/{folder}/py.typed" in files


def test_the_service_brings_its_revisions_and_its_programs(wheels: dict[str, Path]) -> None:
    files = contents(wheels["consumer"])
    assert sum(name.startswith("evaluation_cancel/consumer/migrations/versions/0") for name in files) == 2
    entry_points = next(name for name in files if name.endswith("entry_points.txt"))
    text = zipfile.ZipFile(wheels["consumer"]).read(entry_points).decode()
    assert "cancel-consumer = evaluation_cancel.consumer.__main__:main" in text
    assert "cancel-producer = evaluation_cancel.producer.__main__:main" in text


async def test_an_application_with_packages_of_the_same_names_publishes_with_the_thin_wheels(
    environment: Stack, topics: Topics, wheels: dict[str, Path], tmp_path: Path
) -> None:
    venv.create(tmp_path / "venv", symlinks=True)
    site = next((tmp_path / "venv" / "lib").glob("python3*")) / "site-packages"
    for folder in ("schemas", "producer"):
        zipfile.ZipFile(wheels[folder]).extractall(site)
    for name in _with_dependencies(THIRD_PARTY):
        _copy_distribution(name, site)
    application = tmp_path / "application"
    for name in ("schemas", "consumer", "producer", "deploy"):
        (application / name).mkdir(parents=True)
        (application / name / "__init__.py").write_text('OWN = "the application\'s"\n')
    (application / "main.py").write_text(APPLICATION)
    program = await asyncio.create_subprocess_exec(
        *(str(tmp_path / "venv" / "bin" / "python"), "main.py"),
        *(environment.kafka.bootstrap_servers, topics.prefix, "0b6f4a52-7f4e-4c8e-8b1a-2f3f0c1d9e77"),
        cwd=application,
        env={"PATH": ""},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(100):
        out, err = await program.communicate()
    assert program.returncode == 0, err.decode()
    assert re.fullmatch(r"[0-9a-f-]{36}\n", out.decode())


def _with_dependencies(names: tuple[str, ...]) -> set[str]:
    """These distributions and all that they require without extras."""
    found: set[str] = set()
    wanted = list(names)
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        found.add(name)
        wanted += [
            re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
            for requirement in importlib.metadata.requires(name) or ()
            if "extra ==" not in requirement and "python_version" not in requirement
        ]
    return found


def _copy_distribution(name: str, site: Path) -> None:
    for file in importlib.metadata.files(name) or ():
        source = Path(str(file.locate()))
        if ".." not in file.parts and source.exists():
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, site / file)
