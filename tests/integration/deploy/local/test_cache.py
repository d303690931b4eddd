"""What is slow to make is made once, as a whole or not at all."""

import asyncio
from pathlib import Path

import pytest

from deploy.local.processes.cache import cache_folder, kept


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVALUATION_CANCEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Maker:
    def __init__(self) -> None:
        self.times = 0

    async def __call__(self, into: Path) -> None:
        self.times += 1
        (into / "half").write_text("made")
        await asyncio.sleep(0)
        (into / "whole").write_text("made")


async def test_an_entry_is_made_once_and_then_found() -> None:
    make = Maker()
    first = await kept("thing", b"v1", make=make)
    assert await kept("thing", b"v1", make=make) == first
    assert make.times == 1
    assert (first / "whole").read_text() == "made"


async def test_other_parts_give_another_entry() -> None:
    make = Maker()
    assert len({await kept("thing", *parts, make=make) for parts in (("a", "b"), ("ab",), ("b", "a"))}) == 3


async def test_two_who_want_the_same_at_once_make_it_once() -> None:
    make = Maker()
    first, second = await asyncio.gather(kept("thing", "x", make=make), kept("thing", "x", make=make))
    assert first == second
    assert make.times == 1


async def test_what_failed_half_way_is_no_entry_and_is_made_anew() -> None:
    async def fail(into: Path) -> None:
        (into / "half").write_text("made")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        await kept("thing", "x", make=fail)

    async def make(into: Path) -> None:
        (into / "whole").write_text("made")

    entry = await kept("thing", "x", make=make)
    assert [path.name for path in entry.iterdir()] == ["whole"]


def test_the_folder_is_where_the_environment_says(own_cache: Path) -> None:
    assert cache_folder() == own_cache
