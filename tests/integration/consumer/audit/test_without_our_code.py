"""The page of shell in docs/audit.md says of an archive what `verify` says, without any of our code."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.audit import tampering
from tests.support.audit.history import History, keys
from tests.support.fakes.audit import MemoryStore

DOCS = Path(__file__).parents[4] / "docs" / "audit.md"


def run_page(directory: Path, store: MemoryStore, *public: Path) -> subprocess.CompletedProcess[str]:
    page = re.search(r"```sh\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert page is not None
    script, copy = directory / "verify.sh", directory / "copy"
    script.write_text(page[1])
    for key, body in store.objects.items():
        path = copy / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    command = ["sh", str(script), str(copy), *map(str, public)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def public_key(history: History) -> Path:
    return history.settings.audit_public_key_files[0]


def test_an_untouched_archive_is_whole(history: History, tmp_path: Path) -> None:
    _, another = keys(tmp_path)
    done = run_page(tmp_path, history.archive(), another, public_key(history))
    assert done.returncode == 0, done.stdout + done.stderr
    count = sum(key.startswith("chain/") for key in history.objects)
    assert f"{count} links, no defect." in done.stdout


@pytest.mark.parametrize("tamper", tampering.ALL, ids=lambda tamper: tamper.__name__)
def test_a_tampered_archive_is_found(history: History, tmp_path: Path, tamper: tampering.Tampering) -> None:
    store = history.archive()
    tamper(history, store)
    done = run_page(tmp_path, store, public_key(history))
    assert done.returncode != 0
    assert "DEFECT chain/" in done.stdout


def test_the_key_that_signed_must_be_among_those_given(history: History, tmp_path: Path) -> None:
    _, another = keys(tmp_path)
    done = run_page(tmp_path, history.archive(), another)
    assert done.returncode != 0
    assert "is signed with another key" in done.stdout
