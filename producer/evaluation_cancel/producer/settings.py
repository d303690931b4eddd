"""Settings of the producer, prefix EVALUATION_CANCEL_. Kafka's are in `schemas/kafka_settings.py`."""

from pydantic import Field

from evaluation_cancel.schemas.kafka_settings import KafkaSettings


class ProducerSettings(KafkaSettings):
    """Read once at start; every error is told together."""

    source: str = Field(default="urn:evaluation-cancel:cli", min_length=1, max_length=512)
    """The CloudEvents source of the commands sent from here. Source and command id together name a command."""

    publish_timeout: float = Field(default=10.0, gt=0, le=300)
    """Seconds until a command that Kafka did not acknowledge is said to be of unknown outcome."""

    connect_timeout: float = Field(default=30.0, gt=0, le=600)
    """Seconds to go on trying to reach Kafka at start. The endpoint's too."""

    stop_timeout: float = Field(default=5.0, gt=0, le=60)
    """Seconds for what is still being sent to Kafka, and for hanging up, at the end. The endpoint's too."""
