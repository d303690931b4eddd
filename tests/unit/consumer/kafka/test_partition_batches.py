"""Which partition a key belongs to is not ours to invent."""

from __future__ import annotations

from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from evaluation_cancel.consumer.kafka.partition_batches import partition_of


@given(st.binary(min_size=1, max_size=80), st.integers(min_value=1, max_value=50))
def test_a_key_belongs_where_kafkas_own_rule_puts_it(key: bytes, count: int) -> None:
    partitions = list(range(count))
    assert partition_of(key, partitions) == DefaultPartitioner()(key, partitions, partitions)


def test_a_record_without_a_key_goes_to_one_of_the_partitions() -> None:
    assert {partition_of(None, [3, 4]) for _ in range(200)} == {3, 4}
