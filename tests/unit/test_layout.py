"""The limits that keep the tree readable, and which no linter holds: sizes, crowded packages, imports between tests."""

import ast
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONSUMER = ROOT / "consumer" / "evaluation_cancel" / "consumer"
LONGEST_FILE = 300
LONGEST_FUNCTION = 50
MODULES_IN_A_PACKAGE = 14


@pytest.fixture(scope="module")
def files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, check=False, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout: the list of files comes from git")
    return sorted({path for name in listed.stdout.splitlines() if (path := ROOT / name).exists()})


def test_no_file_is_longer_than_300_lines(files: list[Path]) -> None:
    assert [str(path) for path in files if len(path.read_text().splitlines()) > LONGEST_FILE] == []


def test_no_function_is_longer_than_50_lines(files: list[Path]) -> None:
    assert [
        f"{path}:{node.lineno}" for path in files for node in _functions(path) if _length(node) > LONGEST_FUNCTION
    ] == []


def test_no_package_has_more_than_14_modules(files: list[Path]) -> None:
    modules = Counter(path.parent for path in files if path.name != "__init__.py")
    assert {str(package): count for package, count in modules.items() if count > MODULES_IN_A_PACKAGE} == {}


def test_the_consumer_has_at_most_8_modules_and_14_packages_at_its_top(files: list[Path]) -> None:
    assert sum(path.parent == CONSUMER for path in files) <= 8
    assert len({path.relative_to(CONSUMER).parts[0] for path in files if CONSUMER in path.parent.parents}) <= 14


def test_every_package_that_is_installed_says_what_it_is_for(files: list[Path]) -> None:
    packages = [path for path in files if path.name == "__init__.py" and path.relative_to(ROOT).parts[0] != "tests"]
    assert [str(path) for path in packages if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_no_test_imports_from_the_tests_of_another_kind(files: list[Path]) -> None:
    shared = ("tests.support", "tests.bench")
    strangers = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files
        if (parts := path.relative_to(ROOT).parts)[0] == "tests"
        for module in _imported(path)
        if module.startswith("tests.") and not module.startswith((*shared, f"tests.{parts[1]}"))
    ]
    assert strangers == []


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
