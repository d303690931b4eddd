"""When a partition that stands still is tried again."""

from __future__ import annotations

from aiokafka import TopicPartition

from evaluation_cancel.consumer.kafka.unreadable import UnreadablePartitions

ONE, TWO = TopicPartition("t", 1), TopicPartition("t", 2)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_same_offset_is_tried_more_and_more_rarely_up_to_once_a_minute() -> None:
    clock = Clock()
    unreadable = UnreadablePartitions(clock=clock)
    pauses = []
    for _ in range(9):
        unreadable.found(ONE, 7, "broken")
        assert not unreadable.due()
        begun = clock.now
        while ONE not in unreadable.due():
            clock.now += 0.5
        pauses.append(clock.now - begun)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_another_offset_begins_with_a_short_pause() -> None:
    clock = Clock()
    unreadable = UnreadablePartitions(clock=clock)
    for offset in (7, 7, 7, 8):
        unreadable.found(ONE, offset, "broken")
        clock.now += 100
        (standing,) = unreadable.due().values()
    assert standing.pause == 1


def test_it_is_described_until_it_was_read_or_revoked() -> None:
    clock = Clock()
    unreadable = UnreadablePartitions(clock=clock)
    unreadable.found(TWO, 9, "no codec")
    unreadable.found(ONE, 7, "broken")
    assert unreadable.described() == ["t[1]@7: broken", "t[2]@9: no codec"]
    clock.now = 5
    assert set(unreadable.due()) == {ONE, TWO}
    assert len(unreadable.described()) == 2
    unreadable.read(ONE)
    unreadable.revoked([TWO])
    assert unreadable.described() == []
