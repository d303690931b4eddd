"""One run of one contestant on fresh topics and a fresh database, measured and checked.

The clock starts when the contestant's loops begin, with all commands there already, and stops when the reader has the
last outcome. In a paced run the contestant runs first, and what counts is each command's time until its outcome.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from deploy.local.processes.process import Child
from evaluation_cancel.schemas.topics import Topics
from tests.bench.environment import BenchEnvironment
from tests.bench.pipeline import reader
from tests.bench.pipeline.check import ACCEPTED, CANCELLED, Notes, faults_of_echo, faults_of_events
from tests.bench.pipeline.load import Load, make_load, register, send
from tests.bench.pipeline.reader import Reading
from tests.bench.usage import Meter, Usage

_LIMIT = 900.0
_PATIENCE = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Contestant:
    """A program that takes commands from one topic and puts something on another."""

    name: str
    module: str
    outcome_type: str | None
    """The last that comes of a command; None if every record counts."""
    faults: Callable[[Sequence[str], Notes], list[str]]
    processes: int = 1


OURS = Contestant(name="ours", module="tests.bench.pipeline.consumer", outcome_type=CANCELLED, faults=faults_of_events)
ONE_BY_ONE = Contestant(
    name="one at a time", module="tests.bench.pipeline.one_by_one", outcome_type=CANCELLED, faults=faults_of_events
)
ECHO = Contestant(name="echo", module="tests.bench.pipeline.echo", outcome_type=None, faults=faults_of_echo)


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    count: int
    seconds: float
    usage: Mapping[str, Usage]
    faults: Sequence[str]
    accepted_after: Sequence[float] = field(default=())
    """Seconds from each command's record to its accepted event, in a paced run; sorted."""
    cancelled_after: Sequence[float] = field(default=())

    @property
    def rate(self) -> float:
        return self.count / self.seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class _Files:
    """Where the processes of a run tell what they have to tell."""

    ready: Path
    result: Path
    begun: Path

    @classmethod
    def new(cls, environment: BenchEnvironment) -> _Files:
        run = uuid4().hex[:8]
        ready, result, begun = (environment.work.directory / f"{run}.{what}" for what in ("ready", "result", "begun"))
        return cls(ready=ready, result=result, begun=begun)


async def run(
    environment: BenchEnvironment, contestant: Contestant, count: int, *, rate: float | None = None
) -> Result:
    """All commands first, then the contestant; or, given a rate, the contestant first and commands at that rate."""
    load, files = make_load(count), _Files.new(environment)
    dsn, topics = await environment.fresh_database(), await environment.fresh_topics()
    await register(dsn, load)
    children: list[Child] = []
    try:
        reading = _reading(environment, topics, contestant, count, files)
        children.append(environment.work.start("reader", reader.command(reading), cwd=Path.cwd()))
        await _written(children, files.ready)
        if rate is None:
            recorded = await send(environment.kafka.bootstrap_servers, topics.commands, load)
        consumers = _start(environment, contestant, dsn, topics, files)
        children += consumers
        await _written(children, *(_begun_file(files, n) for n in range(contestant.processes)))
        meter = Meter({**environment.pids(), **_named(contestant, consumers), "reader": children[0].pid})
        if rate is not None:
            recorded = await send(environment.kafka.bootstrap_servers, topics.commands, load, rate=rate)
        await _until_read(children, files.result)
        usage = meter.read()
    finally:
        for child in children:
            child.kill()
    begun = min(float(_begun_file(files, n).read_text()) for n in range(contestant.processes))
    notes = [(i, t, c, at) for i, t, c, at in json.loads(files.result.read_text())]
    return _result(contestant, load, notes, usage, begun=begun, recorded=recorded, paced=rate is not None)


def _result(
    contestant: Contestant,
    load: Load,
    notes: Notes,
    usage: Mapping[str, Usage],
    *,
    begun: float,
    recorded: Mapping[str, float],
    paced: bool,
) -> Result:
    after = {
        kind: sorted(at - recorded[command] for _, type_, command, at in notes if type_ == kind and command in recorded)
        for kind in (ACCEPTED, CANCELLED)
        if paced
    }
    return Result(
        count=len(load.command_ids),
        seconds=max((note[3] for note in notes), default=begun + _LIMIT) - begun,
        usage=usage,
        faults=contestant.faults(load.command_ids, notes),
        accepted_after=after.get(ACCEPTED, ()),
        cancelled_after=after.get(CANCELLED, ()),
    )


def _reading(
    environment: BenchEnvironment, topics: Topics, contestant: Contestant, count: int, files: _Files
) -> Reading:
    return Reading(
        bootstrap_servers=environment.kafka.bootstrap_servers,
        topic=topics.events,
        isolation_level=environment.isolation_level,
        outcomes=count,
        outcome_type=contestant.outcome_type,
        patience=_PATIENCE,
        ready=str(files.ready),
        result=str(files.result),
    )


def _start(
    environment: BenchEnvironment, contestant: Contestant, dsn: str, topics: Topics, files: _Files
) -> list[Child]:
    variables = {
        **os.environ,
        "EVALUATION_CANCEL_POSTGRES_DSN": dsn,
        "EVALUATION_CANCEL_KAFKA_BOOTSTRAP_SERVERS": environment.kafka.bootstrap_servers,
        "EVALUATION_CANCEL_KAFKA_ISOLATION_LEVEL": environment.isolation_level,
        "EVALUATION_CANCEL_TOPIC_PREFIX": topics.prefix,
        "EVALUATION_CANCEL_GROUP_ID": f"{topics.prefix}group",
    }
    return [
        environment.work.start(
            f"consumer-{number}",
            [sys.executable, "-m", contestant.module, _begun_file(files, number)],
            environment=variables,
            cwd=Path.cwd(),
        )
        for number in range(contestant.processes)
    ]


def _begun_file(files: _Files, number: int) -> Path:
    return files.begun.with_suffix(f".begun-{number}")


def _named(contestant: Contestant, consumers: Sequence[Child]) -> dict[str, int]:
    if contestant.processes == 1:
        return {"consumer": consumers[0].pid}
    return {f"consumer {n + 1}": child.pid for n, child in enumerate(consumers)}


async def _written(children: Sequence[Child], *files: Path) -> None:
    async def all_there() -> bool:
        return all(file.exists() for file in files)

    await children[-1].ready(all_there)


async def _until_read(children: Sequence[Child], result: Path) -> None:
    """Waits for the reader's notes. It stays until it is ended, so that its use can still be measured."""
    async with asyncio.timeout(_LIMIT):
        while not await asyncio.to_thread(result.exists):
            for child in children:
                if not child.running:
                    raise RuntimeError(f"{child.name} ended\n{child.tail(40)}")
            await asyncio.sleep(0.1)
