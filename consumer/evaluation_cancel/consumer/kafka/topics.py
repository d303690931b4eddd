"""Creates missing topics; their names and settings are in `schemas/topics.py`."""

from __future__ import annotations

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from evaluation_cancel.consumer.domain.errors import TemporaryError
from evaluation_cancel.consumer.settings import ConsumerSettings


async def create_topics(settings: ConsumerSettings, replication_factor: int) -> list[str]:
    """Creates the missing topics and returns their names. Existing topics are not changed.

    Raises `TemporaryError` when the broker cannot be reached or gives any other answer.
    """
    try:
        return await _create(settings, replication_factor)
    except (KafkaError, OSError) as error:  # OSError: the connection, or a certificate file that cannot be read
        raise TemporaryError("kafka_unavailable", f"{type(error).__name__}: {error}") from error


async def _create(settings: ConsumerSettings, replication_factor: int) -> list[str]:
    admin = AIOKafkaAdminClient(**settings.kafka_client())
    created = []
    try:
        await admin.start()
        for spec in settings.topics.specs():
            new = NewTopic(spec.name, spec.partitions, 1, topic_configs=spec.settings)
            # The client's constructor takes the broker's default, -1, for a mistake; the request may hold it.
            new.replication_factor = replication_factor
            answer = await admin.create_topics([new])
            error = for_code(answer.topic_errors[0][1])
            if error.errno == 0:
                created.append(spec.name)
            elif error is not TopicAlreadyExistsError:
                raise error(answer.topic_errors[0][2])
    finally:
        await admin.close()
    return created
