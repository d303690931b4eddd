"""The timeline is in the order of time, whatever was read first; the bar tells rate and time left; memory is flat."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from evaluation_cancel.consumer.audit.cli.replay_target import Target
from evaluation_cancel.consumer.audit.cli.settings import AuditSettings
from evaluation_cancel.consumer.audit.history.history import Piece
from evaluation_cancel.consumer.audit.history.progress import Meter, metered
from evaluation_cancel.consumer.audit.history.selection import Selection
from evaluation_cancel.consumer.audit.replay.outputs import JsonLinesOutput, TerminalOutput
from evaluation_cancel.consumer.audit.replay.parquet import ParquetOutput
from evaluation_cancel.consumer.audit.replay.replay import Output, replay
from evaluation_cancel.schemas.wire.records import RawRecord
from tests.support.fakes.audit import raw_record

NOTHING: Any = Piece(partition=("commands", 0), records=(), position=0, steps=0)


async def timeline(records: list[RawRecord], waiting: int) -> tuple[list[int], list[str]]:
    """Offsets as they were printed, and what was said."""
    file = io.StringIO()
    said: list[str] = []
    output = TerminalOutput(Console(file=file, width=200), before_line=lambda: None, waiting=waiting)
    for record in records:
        await output.write([record], NOTHING)
    output.close(said.append)
    return [int(line.rpartition("@")[2]) for line in file.getvalue().splitlines()], said


def at(*moments: int) -> list[RawRecord]:
    return [raw_record(offset, timestamp_ms=moment) for offset, moment in enumerate(moments)]


async def test_lines_of_several_partitions_are_in_the_order_of_time() -> None:
    assert await timeline(at(30, 40, 10, 20, 20), waiting=10) == ([2, 3, 4, 0, 1], [])


async def test_too_many_to_put_in_order_are_told_and_none_is_lost() -> None:
    offsets, said = await timeline(at(30, 40, 50, 10, 60), waiting=2)
    assert sorted(offsets) == [0, 1, 2, 3, 4]
    assert offsets == [0, 3, 1, 2, 4]
    assert said == ["1 lines are out of order: too many had to be sorted. Select a shorter time."]


async def test_what_a_stranger_wrote_moves_no_cursor() -> None:
    file = io.StringIO()
    output = TerminalOutput(Console(file=file, width=200), before_line=lambda: None)
    await output.write([raw_record(0, value=b'{"evaluation_id": "\\u001b[2J\\n"}', headers=())], NOTHING)
    output.close(print)
    assert "\x1b" not in file.getvalue()
    assert file.getvalue().count("\n") == 1


def test_the_bar_tells_how_far_how_fast_and_how_long_still() -> None:
    file = io.StringIO()
    with metered(Console(file=file, force_terminal=True, width=100, color_system=None), "Replay") as meter:
        meter.total(100)
        meter._shown = -1.0  # it is due
        meter.done(25, 5000)
        bar = meter._bar
        assert bar is not None
        bar.refresh()
        shown = file.getvalue()
        meter.hide()
    assert "25%" in shown
    assert "/s" in shown
    assert ":" in shown.rpartition("/s")[2], "no time left"
    assert "Replay: 5,000 records read, " in file.getvalue()


def test_without_a_terminal_there_is_no_bar() -> None:
    file = io.StringIO()
    with metered(Console(file=file), "Replay") as meter:
        meter.done(1, 1)
        meter.hide()
    assert file.getvalue() == ""


class Endless:
    """A history of many pieces, of which none is kept anywhere."""

    def __init__(self, pieces: int) -> None:
        self._count = pieces

    async def pieces(self, *_: object) -> AsyncIterator[Piece]:
        for number in range(self._count):
            records = [raw_record(number * 100 + n, value=b"x" * 500) for n in range(100)]
            yield Piece(partition=("commands", 0), records=records, position=0, steps=1)


class Nowhere(io.RawIOBase):
    """A file that is written to and forgets."""

    def writable(self) -> bool:
        return True

    def write(self, text: Any) -> int:
        return len(text)


async def peak(pieces: int, output: Output) -> int:
    tracemalloc.start()
    await replay(Endless(pieces), ["commands"], Selection(), output, Meter(None))  # type: ignore[arg-type]  # all it uses
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


OUTPUTS: dict[str, Any] = {
    "terminal": lambda: TerminalOutput(
        Console(file=io.TextIOWrapper(Nowhere())), before_line=lambda: None, waiting=200
    ),  # type: ignore[type-var]
    "jsonl": lambda: JsonLinesOutput(Nowhere()),  # type: ignore[arg-type]
    "parquet": lambda: ParquetOutput(Nowhere(), rows=500),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("make", OUTPUTS.values(), ids=OUTPUTS.keys())
async def test_memory_stays_flat_however_much_is_replayed(make: Any) -> None:
    await peak(3, make())  # what is loaded once
    small, large = await peak(20, make()), await peak(100, make())
    assert large < small + 1_500_000, "80 pieces more hold 4 MB of values alone"


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def written(target: Target, *, dies: bool) -> None:
    async with target.open(AuditSettings(), None, Meter(None)) as output:
        await output.write(at(1), NOTHING)
        if dies:
            raise ZeroDivisionError


async def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    target = Target(form="jsonl", out=tmp_path / "records.jsonl")
    with pytest.raises(ZeroDivisionError):
        await written(target, dies=True)
    assert names(tmp_path) == []
    await written(target, dies=False)
    assert names(tmp_path) == ["records.jsonl"]
    assert (tmp_path / "records.jsonl").stat().st_size > 0
