"""A broker in memory, and relays that publish to it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

from evaluation_cancel.consumer.domain.messages import Message
from evaluation_cancel.consumer.outbox.ports import Record, SendResult, Sent
from evaluation_cancel.consumer.outbox.relay import Relay, RelayLimits
from evaluation_cancel.consumer.sql import outbox
from tests.support.consumer.postgres_env import PostgresEnv


class FakeBroker:
    """Accepts every record. `answers` maps a value to another result than `Sent`."""

    def __init__(self) -> None:
        self.rounds: list[list[Record]] = []
        self.answers: dict[bytes, SendResult] = {}
        self.renewed = 0

    async def send(self, records: Sequence[Record]) -> list[SendResult]:
        self.rounds.append(list(records))
        return [self.answers.get(value or b"", Sent()) for _, _, value, _ in records]

    async def renew(self) -> None:
        self.renewed += 1

    @property
    def values(self) -> list[bytes]:
        """The values of all records, in the order in which they were sent."""
        return [value or b"" for sent in self.rounds for _, _, value, _ in sent]


def relay(
    postgres_env: PostgresEnv, broker: FakeBroker, holder: str = "a", *, batch: int = 100, lease: float = 30
) -> Relay:
    limits = RelayLimits(batch=batch, poll=0.05, lease=timedelta(seconds=lease))
    return Relay(database=postgres_env.database, producer=broker, holder=holder, limits=limits)


async def add(
    postgres_env: PostgresEnv,
    *messages: tuple[str | None, str],
    event_id: UUID | None = None,
    evaluation_id: UUID | None = None,
) -> None:
    """Insert messages, given as (key, value), into the outbox."""
    async with postgres_env.database.transaction() as tx:
        await outbox.add(
            tx,
            [
                Message(
                    event_id=event_id or uuid4(),
                    type="EvaluationCancelled",
                    evaluation_id=evaluation_id,
                    topic="events",
                    key=None if key is None else key.encode(),
                    value=value.encode(),
                    headers=[("ce_id", b"x"), ("odd", b"\xff\x00")],
                )
                for key, value in messages
            ],
        )


async def lead(relay: Relay) -> None:
    """Take the lease, as `run` does before each batch."""
    assert await relay._hold()
