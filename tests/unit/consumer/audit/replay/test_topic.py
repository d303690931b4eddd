"""Onto another topic: at its rate, in order, marked, and on again from the file that notes how far it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluation_cancel.consumer.audit.history.history import Piece
from evaluation_cancel.consumer.audit.history.selection import Selection
from evaluation_cancel.consumer.audit.replay.topic import (
    ODD_HEADERS,
    REPLAYED,
    ProgressFile,
    TopicOutput,
    replayed_headers,
)
from evaluation_cancel.consumer.domain.errors import Refusal, TemporaryError
from evaluation_cancel.consumer.outbox.ports import Refused, SendResult, Sent, Unresolved
from evaluation_cancel.schemas.wire.records import RawRecord
from tests.support.fakes.audit import raw_record

ASKED = {"topic": "t"}


class Broker:
    """Takes what it is told to take."""

    def __init__(self, *answers: list[SendResult]) -> None:
        self.answers = list(answers)
        self.sent: list[Any] = []
        self.renewed = 0

    async def send(self, records: Sequence[Any]) -> list[SendResult]:
        results = self.answers.pop(0) if self.answers else [Sent()] * len(records)
        self.sent += [r for r, result in zip(records, results, strict=True) if isinstance(result, Sent)]
        return results

    async def renew(self) -> None:
        self.renewed += 1


def piece(*records: RawRecord, key: str | None = None) -> Piece:
    return Piece(partition=("commands", 0), records=records, position=records[-1].offset + 1, steps=1, key=key)


async def written(broker: Broker, count: int, rate: float = 1e9, progress: ProgressFile | None = None) -> list[float]:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    output = TopicOutput(sender=broker, topic="t", rate=rate, progress_file=progress, sleep=sleep)
    records = [raw_record(n) for n in range(count)]
    await output.write(records, piece(*records))
    return pauses


async def test_it_keeps_to_its_rate() -> None:
    pauses = await written(Broker(), 30, rate=10)
    assert len(pauses) == 2
    assert pauses == pytest.approx([1, 2], abs=0.2)  # the clock stands still in the test's sleep


async def test_after_a_doubt_it_goes_on_from_the_first_record_in_doubt() -> None:
    broker = Broker([Sent(), Unresolved(detail="?"), Sent()], [Unresolved(detail="?"), Unresolved(detail="?")])
    await written(broker, 3)
    assert [value for _, _, value, _ in broker.sent] == [b'{"number": %d}' % n for n in (0, 2, 1, 2)]
    assert broker.renewed == 2


async def test_it_gives_up_after_a_while_and_at_once_when_refused(tmp_path: Path) -> None:
    progress = ProgressFile(tmp_path / "p", ASKED, Selection())
    with pytest.raises(TemporaryError, match="run it again"):
        await written(Broker(*[[Unresolved(detail="?")]] * 20), 1, progress=progress)
    with pytest.raises(Refusal, match="message_too_large"):
        await written(Broker([Refused(code="message_too_large", detail="")]), 1, progress=progress)
    assert not (tmp_path / "p").exists()


def test_headers_stay_in_order_and_the_mark_comes_last() -> None:
    record = raw_record(7, headers=(("a", b"1"), ("x-\udcff", b"2"), ("a", b"3"), ("none", None), (REPLAYED, b"old")))
    headers = replayed_headers(record)
    assert headers[:2] == [("a", b"1"), ("a", b"3")]
    assert dict(headers)[ODD_HEADERS] == b'[["eC3/","Mg=="],["bm9uZQ==",null]]'
    assert headers[-1] == (REPLAYED, b"commands/0/7")
    assert [name for name, _ in headers].count(REPLAYED) == 1


def test_the_moments_that_an_age_meant_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "p"
    first = ProgressFile(path, ASKED, Selection(since_ms=1000, team="a"))
    assert first.load().positions == {}
    first.note(piece(raw_record(4)))
    later = ProgressFile(path, ASKED, Selection(since_ms=5000, team="a"))
    assert later.load().positions == {("commands", 0): 5}
    assert later.selection == Selection(since_ms=1000, team="a")
    later.note(replace(piece(raw_record(9)), key="data/x"))
    assert ProgressFile(path, ASKED, Selection()).load().after == "data/x"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"asked": {"topic": "other"}}',
        '{"asked": {"topic": "t"}}',
        '{"asked": {"topic": "t"}, "positions": [1], "behind": null, "ends": null}',
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "p").write_text(content)
    with pytest.raises(Refusal, match=r"progress|other_replay"):
        ProgressFile(tmp_path / "p", ASKED, Selection()).load()
