"""Small commands for a running stand: create an evaluation, follow the events topic.

They read the environment that `python -m deploy.local up` has written; see `places.py`.
"""

import asyncio

from rich.console import Console

from deploy.local.play.listener import Heard, listening
from deploy.local.play.orchestrator import orchestrator
from deploy.local.play.places import Places
from deploy.local.play.words import dead_letter_in_words, in_words
from evaluation_cancel.schemas.kafka_settings import KafkaSettings
from evaluation_cancel.schemas.wire.codec import RawRecord


async def make_evaluation(*, team: str, pods: int, ends_after: int, artifacts: int) -> None:
    """Register one, start its Job unless it is to have no pods, and print its id and nothing else."""
    async with orchestrator(Places.from_environment()) as works:
        evaluation = await works.register(team)
        if pods:
            await works.run(evaluation, pods=pods, ends_after=ends_after)
        if artifacts:
            await works.write_artifacts(evaluation, artifacts)
    Console(soft_wrap=True).print(str(evaluation.id), highlight=False)


async def follow_events() -> None:
    """Print all that is on the events topic and the dead letters, and what comes, until Ctrl-C."""
    console = Console(highlight=False, soft_wrap=True, markup=False)

    def event(heard: Heard) -> None:
        console.print(f"{heard.envelope.time:%H:%M:%S.%f}  {heard.event.evaluation_id}  {in_words(heard.event)}")

    def dead_letter(record: RawRecord) -> None:
        console.print(f"dead letter: {dead_letter_in_words(record)}")

    async with listening(KafkaSettings()) as listener:
        listener.on_event, listener.on_dead_letter = event, dead_letter
        await asyncio.Event().wait()
