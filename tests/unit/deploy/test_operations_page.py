"""What docs/operations.md says of metrics, and docs/states.md of codes, is what the code has."""

import re
from pathlib import Path

from evaluation_cancel.consumer.metrics import Metrics
from evaluation_cancel.schemas.events import RejectionCode

ROOT = Path(__file__).parents[3]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
STATES = (ROOT / "docs" / "states.md").read_text()


def test_every_metric_is_explained_and_no_other() -> None:
    there = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in Metrics().registry.collect()
        if family.name.startswith("evaluation_cancel")
    }
    assert set(re.findall(r"`(evaluation_cancel_[a-z_]+)", OPERATIONS)) == there


def test_every_rejection_is_explained() -> None:
    for code in RejectionCode.__args__:
        assert f"`{code}`" in STATES


def test_links_between_the_pages_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
