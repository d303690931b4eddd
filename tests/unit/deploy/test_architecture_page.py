"""docs/architecture.md names files that exist, and every package of the consumer."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
CONSUMER = ROOT / "consumer" / "evaluation_cancel" / "consumer"
PAGE = (ROOT / "docs" / "architecture.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def test_every_file_that_the_page_names_exists() -> None:
    named = {name for name in re.findall(r"`([a-z_0-9/.-]+)`", PAGE) if "/" in name or name.endswith(".py")}
    assert len(named) > 50
    assert [name for name in sorted(named) if not any((folder / name).exists() for folder in _folders())] == []


def test_every_package_of_the_consumer_is_described() -> None:
    packages = {path.parent.name for path in CONSUMER.glob("*/__init__.py")}
    modules = {path.name for path in CONSUMER.glob("*.py")} - {"__init__.py"}
    assert packages | modules <= set(re.findall(r"^\| \d \| `([a-z0-9_.]+)`", PAGE, re.MULTILINE))


def test_every_path_of_the_contributors_page_exists() -> None:
    named = set(re.findall(r"((?:consumer|producer|schemas|tests|deploy|docs)/[\w/.]+\w)", CONTRIBUTING))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def _folders() -> list[Path]:
    producer = ROOT / "producer" / "evaluation_cancel" / "producer"
    return [ROOT, CONSUMER, producer, ROOT / "producer" / "evaluation_cancel"]
