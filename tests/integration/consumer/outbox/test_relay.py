from __future__ import annotations

from uuid import uuid4

import pytest

from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.domain.messages import Message
from evaluation_cancel.consumer.domain.rows import EventReference
from evaluation_cancel.consumer.outbox.ports import Refused, Unresolved
from evaluation_cancel.consumer.sql import outbox
from tests.support.consumer.commands import command
from tests.support.consumer.fake_broker import FakeBroker, add, lead, relay
from tests.support.consumer.postgres_env import PostgresEnv


async def test_a_round_sends_the_oldest_of_each_key_and_the_next_round_goes_on(postgres_env: PostgresEnv) -> None:
    broker = FakeBroker()
    await add(postgres_env, ("k1", "a"), ("k1", "b"), ("k2", "c"), ("k1", "d"), (None, "e"), (None, "f"))
    publishing = relay(postgres_env, broker)
    await lead(publishing)
    while await publishing.round():
        pass
    assert [[r[2] for r in sent] for sent in broker.rounds] == [[b"a", b"c", b"e", b"f"], [b"b"], [b"d"]]
    assert await postgres_env.count("outbox") == 0


async def test_headers_arrive_byte_for_byte_with_the_sequence_of_the_first_publication(
    postgres_env: PostgresEnv,
) -> None:
    broker = FakeBroker()
    evaluation, identity = uuid4(), uuid4()
    await add(postgres_env, ("k", "a"), event_id=identity, evaluation_id=evaluation)
    publishing = relay(postgres_env, broker)
    await lead(publishing)
    await publishing.round()
    async with postgres_env.database.transaction() as tx:
        await outbox.add_again(tx, [EventReference(evaluation, identity)])
    await publishing.round()
    [first], [again] = broker.rounds
    assert first == again
    sequence = str((await postgres_env.row("messages"))["id"]).encode()
    assert first[3] == [("ce_id", b"x"), ("odd", b"\xff\x00"), ("ce_sequence", sequence)]


async def test_a_hot_key_with_thousands_waiting_delays_nobody(postgres_env: PostgresEnv) -> None:
    broker = FakeBroker()
    await add(postgres_env, *(("hot", f"h{n}") for n in range(5000)), ("k1", "a"), ("k2", "b"))
    publishing = relay(postgres_env, broker, batch=100)
    await lead(publishing)
    await publishing.round()
    assert sorted(broker.values) == [b"a", b"b", b"h0"]


async def test_a_refused_message_is_parked_and_holds_up_its_key_only(postgres_env: PostgresEnv) -> None:
    broker = FakeBroker()
    broker.answers[b"too big"] = Refused(code="message_too_large", detail="no")
    await add(postgres_env, ("k1", "too big"), ("k1", "later"), ("k2", "a"))
    publishing = relay(postgres_env, broker)
    await lead(publishing)
    while await publishing.round():
        pass
    assert sorted(broker.values) == [b"a", b"too big"]
    row = await postgres_env.row("outbox", "parked_at IS NOT NULL")
    assert row["error_code"] == "message_too_large"


async def test_a_parked_message_is_tried_again_later_and_its_key_goes_on(postgres_env: PostgresEnv) -> None:
    broker = FakeBroker()
    broker.answers[b"too big"] = Refused(code="message_too_large", detail="no")
    await add(postgres_env, ("k1", "too big"), ("k1", "later"))
    publishing = relay(postgres_env, broker)
    await lead(publishing)
    await publishing.round()
    broker.answers.clear()
    await postgres_env.admin.execute("UPDATE evaluation_cancel.outbox SET parked_at = parked_at - interval '1 day'")
    later = relay(postgres_env, broker)
    await lead(later)
    while await later.round():
        pass
    assert broker.values == [b"too big", b"too big", b"later"]


async def test_an_unresolved_send_throws_the_producer_away_and_marks_what_was_acknowledged(
    postgres_env: PostgresEnv,
) -> None:
    broker = FakeBroker()
    broker.answers[b"lost"] = Unresolved(detail="no answer")
    await add(postgres_env, ("k1", "lost"), ("k2", "fine"))
    publishing = relay(postgres_env, broker)
    await lead(publishing)
    with pytest.raises(TemporaryError):
        await publishing.round()
    assert broker.renewed == 1
    assert await postgres_env.count("outbox") == 1
    broker.answers.clear()
    await publishing.round()
    assert broker.values == [b"lost", b"fine", b"lost"]


async def test_an_unresolved_send_throws_the_producer_away_even_when_nothing_can_be_marked(
    postgres_env: PostgresEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = FakeBroker()
    broker.answers[b"lost"] = Unresolved(detail="no answer")
    await add(postgres_env, ("k1", "lost"), ("k2", "fine"))
    publishing = relay(postgres_env, broker)
    await lead(publishing)

    async def fails(*_arguments: object) -> int:
        raise TemporaryError("postgres_unavailable", "gone")

    monkeypatch.setattr(outbox, "published", fails)
    with pytest.raises(TemporaryError, match="gone"):
        await publishing.round()
    assert broker.renewed == 1


async def test_an_event_id_is_published_for_the_first_time_once(postgres_env: PostgresEnv) -> None:
    identity = uuid4()
    await add(postgres_env, ("k", "a"), event_id=identity)
    await add(postgres_env, ("k", "b"), event_id=identity)
    assert (await postgres_env.count("messages"), await postgres_env.count("outbox")) == (1, 1)


async def test_a_late_commit_with_a_lower_id_is_published_too(postgres_env: PostgresEnv) -> None:
    broker = FakeBroker()
    publishing = relay(postgres_env, broker)
    await lead(publishing)
    late = postgres_env.database.transaction()
    tx = await late.__aenter__()
    await outbox.add_again(tx, [])
    await tx.execute("SELECT nextval(pg_get_serial_sequence('evaluation_cancel.outbox', 'id'))")
    await postgres_env.send(command(await postgres_env.evaluation()))
    await publishing.round()
    await tx.execute(
        "INSERT INTO evaluation_cancel.outbox (id, message_id, key) OVERRIDING SYSTEM VALUE"
        " SELECT 1, id, 'late' FROM evaluation_cancel.messages"
    )
    await late.__aexit__(None, None, None)
    await publishing.round()
    assert await postgres_env.count("outbox") == 0
    assert len(broker.rounds) == 2


async def test_a_dead_letter_with_another_evaluations_id_for_its_key_holds_up_none_of_its_events(
    postgres_env: PostgresEnv,
) -> None:
    broker = FakeBroker()
    evaluation = await postgres_env.evaluation()
    stranger = Message(
        event_id=uuid4(),
        type="DeadLetter",
        evaluation_id=None,
        topic="dlq",
        key=str(evaluation).encode(),
        value=b"too big",
        headers=[],
    )
    broker.answers[b"too big"] = Refused(code="message_too_large", detail="no")
    async with postgres_env.database.transaction() as tx:
        await outbox.add(tx, [stranger])
    await postgres_env.cancelled(command(evaluation))
    publishing = relay(postgres_env, broker)
    await lead(publishing)
    while await publishing.round():
        pass
    assert [r[1] for sent in broker.rounds for r in sent] == [str(evaluation).encode()] * 3
    assert await postgres_env.count("outbox") == 1


async def test_a_dead_letter_with_an_enormous_key_is_parked_like_any_other(postgres_env: PostgresEnv) -> None:
    broker = FakeBroker()
    broker.answers[b"no"] = Refused(code="topic_not_authorized", detail="no")
    key = b"".join(uuid4().bytes for _ in range(4000))  # no index holds it, however well it is packed
    letter = Message(
        event_id=uuid4(), type="DeadLetter", evaluation_id=None, topic="dlq", key=key, value=b"no", headers=[]
    )
    async with postgres_env.database.transaction() as tx:
        await outbox.add(tx, [letter])
    await add(postgres_env, ("k", "a"))
    publishing = relay(postgres_env, broker)
    await lead(publishing)
    await publishing.round()
    assert [r[1] for r in broker.rounds[0]] == [key, b"k"]
    assert await postgres_env.count("outbox") == await postgres_env.count("outbox", "parked_at IS NOT NULL") == 1


async def test_hundreds_of_refusals_at_once_are_told_in_one_line(
    postgres_env: PostgresEnv, capsys: pytest.CaptureFixture[str]
) -> None:
    broker = FakeBroker()
    await add(postgres_env, *((f"k{n}", f"v{n}") for n in range(200)))
    broker.answers = {f"v{n}".encode(): Refused(code="topic_not_authorized", detail="no") for n in range(200)}
    publishing = relay(postgres_env, broker, batch=500)
    await lead(publishing)
    await publishing.round()
    assert await postgres_env.count("outbox", "parked_at IS NOT NULL") == 200
    assert capsys.readouterr().out.count("message_parked") == 1
