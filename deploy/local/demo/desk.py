"""The desk from which the demo acts: it prepares evaluations and sends commands, and tells each step on the screen.

Commands go through the same `Publisher` that other services import; odd records are written to Kafka as they are.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaProducer

from deploy.local.demo.cases import Case, Expected, Sent
from deploy.local.demo.screen import Screen
from deploy.local.errors import NotAsToldError
from deploy.local.play.listener import PATIENCE, Heard, Listener
from deploy.local.play.orchestrator import GRACE, Evaluation, Orchestrator
from deploy.local.play.words import dead_letter_in_words, in_words
from deploy.local.processes.plain_http import plain_client
from deploy.local.stand.system import System
from evaluation_cancel.producer.publisher import Publisher
from evaluation_cancel.schemas.commands import RequestedBy
from evaluation_cancel.schemas.events import bare_command_id
from evaluation_cancel.schemas.identifiers import uuid7
from evaluation_cancel.schemas.wire.codec import BARE_SOURCE, RawRecord

SOURCE = "/demo/website"
HTTP_SOURCE = "urn:evaluation-cancel:http"
ADA = RequestedBy(kind="user", id="ada", team_ids=("blue",))
BEN = RequestedBy(kind="user", id="ben", team_ids=("blue",))
EVE = RequestedBy(kind="user", id="eve", team_ids=("green",))


@dataclass(kw_only=True, slots=True)
class Desk:
    running: System
    screen: Screen
    listener: Listener
    orchestrator: Orchestrator
    publisher: Publisher
    raw: AIOKafkaProducer
    cases: list[Case] = field(default_factory=list)
    undecodable: list[bytes] = field(default_factory=list)
    """Values that must be found as dead letters, in this order."""

    def case(self, name: str, evaluation: Evaluation, expected: Expected, *, told: bool = True) -> Case:
        """Take an evaluation into the story."""
        made = Case(name=name, evaluation=evaluation, expected=expected, told=told)
        self.cases.append(made)
        return made

    async def running_case(
        self,
        name: str,
        expected: Expected,
        *,
        pods: int = 1,
        ends_after: int | None = 0,
        grace: int = GRACE,
        told: bool = True,
    ) -> Case:
        """One whose Job runs."""
        evaluation, _ = await self.orchestrator.run(
            await self.orchestrator.register("blue"), pods=pods, ends_after=ends_after, grace=grace
        )
        return self.case(name, evaluation, expected, told=told)

    async def pods_run(self, case: Case, count: int) -> None:
        """Wait for them: one that does not run yet has nothing to end slowly."""
        deadline = time.monotonic() + PATIENCE
        while not await self.orchestrator.pods_run(case.evaluation, count):
            self.must(time.monotonic() < deadline, f"within {PATIENCE:g} s the {count} pods of {case.name} did not run")
            await asyncio.sleep(0.1)

    async def cancel(
        self,
        case: Case,
        who: RequestedBy,
        *,
        reason: str | None = None,
        cleanup: bool = False,
        again: Sent | None = None,
    ) -> Sent:
        """Send a CancelEvaluation; `again`: the very command of before, as after an answer that was lost."""
        sent = again or Sent(source=SOURCE, id=str(uuid7()), at=time.monotonic())
        if again is None:
            case.sent.append(sent)
        if not case.asked:
            case.asked = f"{who.id}: stop{' and clean up' if cleanup else ''}"
        if case.told:
            because = f' because "{reason}"' if reason else ""
            too = ", artifacts too" if cleanup else ""
            once_more = ", the same command once more" if again else ""
            self.screen.step("command", case.name, f"CancelEvaluation from {who.id}{because}{too}{once_more}")
        await self.publisher.cancel(
            case.evaluation.id, who, reason=reason, cleanup_artifacts=cleanup, command_id=sent.id
        )
        return sent

    async def cancel_bare(self, case: Case, body: dict[str, Any]) -> None:
        """JSON and nothing else, as a shell script would send it."""
        at = time.monotonic()
        value = json.dumps(body).encode()
        case.asked = f"{body['requested_by']['id']}: stop (bare JSON)"
        self.screen.step("command", case.name, json.dumps(body))
        kept = await self.raw.send_and_wait(self.running.topics.commands, value)
        name = str(bare_command_id(kept.topic, kept.partition, kept.offset))
        case.sent.append(Sent(source=BARE_SOURCE, id=name, at=at))

    async def post(self, case: Case, who: RequestedBy) -> tuple[int, str]:
        """Ask over HTTP, with a token, and wait for the answer; the id of the command is learnt from its event."""
        at = time.monotonic()
        path = f"/v1/evaluations/{case.evaluation.id}/cancel"
        case.asked = f"{who.id}: stop (HTTP)"
        self.screen.step("request", case.name, f"POST with a token of {who.id}; by hand it is")
        token = self.running.tokens.token(who.id, who.team_ids)
        url = self.running.endpoints[0].url
        for line in curl(self.running, who, path):
            self.screen.say(line, style="dim")
        async with plain_client(url, timeout=PATIENCE) as client:
            answer = await client.post(path, headers={"Authorization": f"Bearer {token}"})
        await self.listener.until(lambda: bool(self.listener.of(case.evaluation.id)), f"event of {case.evaluation.id}")
        command = self.listener.of(case.evaluation.id)[0].envelope.causationid or ""
        case.sent.append(Sent(source=HTTP_SOURCE, id=command, at=at))
        return answer.status_code, json.dumps(answer.json())

    def must(self, holds: bool, otherwise: str) -> None:
        """Something told at once that must be so."""
        if not holds:
            raise NotAsToldError(otherwise)

    async def send_rubbish(self, value: bytes) -> None:
        self.undecodable.append(value)
        self.screen.step("command", "", f"a record that is no JSON: {value.decode()}")
        await self.raw.send_and_wait(self.running.topics.commands, value)

    def name_of(self, evaluation_id: UUID) -> Case | None:
        return next((case for case in self.cases if case.evaluation.id == evaluation_id), None)

    def heard(self, heard: Heard) -> None:
        """Tell an event as it comes; a copy is told as one."""
        case = self.name_of(heard.event.evaluation_id)
        if case is None or not case.told:
            return
        copies = [each for each in self.listener.of(case.evaluation.id) if each.envelope.id == heard.envelope.id]
        if len(copies) > 1:
            self.screen.step("event", case.name, f"{heard.type} again: the same id and bytes as before")
        else:
            self.screen.step("event", case.name, in_words(heard.event))

    def dead_letter(self, record: RawRecord) -> None:
        self.screen.step("dead letter", "", dead_letter_in_words(record))


@asynccontextmanager
async def desk(running: System, screen: Screen, listener: Listener, orchestrator: Orchestrator) -> AsyncIterator[Desk]:
    client = {"bootstrap_servers": running.stack.kafka.bootstrap_servers}
    raw = AIOKafkaProducer(**client, acks="all", enable_idempotence=True)
    await raw.start()
    try:
        async with Publisher(client=client, source=SOURCE, topics=running.topics) as publisher:
            made = Desk(
                running=running,
                screen=screen,
                listener=listener,
                orchestrator=orchestrator,
                publisher=publisher,
                raw=raw,
            )
            listener.on_event, listener.on_dead_letter = made.heard, made.dead_letter
            yield made
    finally:
        await raw.stop()


def curl(running: System, who: RequestedBy, path: str) -> tuple[str, str]:
    """The same request for a shell, in two lines; its token comes from the stand's issuer."""
    asked = "&".join([f"user={who.id}", *(f"team={team}" for team in who.team_ids)])
    token = f"$(curl -s '{running.tokens.issuer}/token?{asked}')"
    return f"  curl -X POST {running.endpoints[0].url}{path} \\", f'    -H "Authorization: Bearer {token}"'
