"""The three topics: names, partitions, retention. `cancel-consumer migrate topics` creates them."""

from dataclasses import dataclass, field
from typing import Final

PARTITIONS: Final = 12
MAX_MESSAGE_BYTES: Final = 1024 * 1024
DEAD_LETTER_MARGIN_BYTES: Final = 64 * 1024
_DAY_MS: Final = 24 * 60 * 60 * 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicSpec:
    """One topic as it should be on the broker."""

    name: str
    partitions: int = PARTITIONS
    retention_ms: int
    max_message_bytes: int = MAX_MESSAGE_BYTES
    append_time: bool = False

    @property
    def settings(self) -> dict[str, str]:
        """The broker's settings. Never compacted: that destroys history."""
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_ms),
            "max.message.bytes": str(self.max_message_bytes),
            "message.timestamp.type": "LogAppendTime" if self.append_time else "CreateTime",
        }


@dataclass(frozen=True, slots=True)
class Topics:
    """The names, all behind one prefix, so that several systems can share a broker."""

    prefix: str = ""
    partitions: int = field(default=PARTITIONS, kw_only=True)

    @property
    def commands(self) -> str:
        return f"{self.prefix}evaluations.cancel.commands.v1"

    @property
    def events(self) -> str:
        return f"{self.prefix}evaluations.cancel.events.v1"

    @property
    def dead_letters(self) -> str:
        return f"{self.commands}.dlq"

    def specs(self) -> tuple[TopicSpec, TopicSpec, TopicSpec]:
        return (
            TopicSpec(name=self.commands, partitions=self.partitions, retention_ms=7 * _DAY_MS, append_time=True),
            TopicSpec(name=self.events, partitions=self.partitions, retention_ms=90 * _DAY_MS),
            TopicSpec(
                name=self.dead_letters,
                partitions=self.partitions,
                retention_ms=30 * _DAY_MS,
                max_message_bytes=MAX_MESSAGE_BYTES + DEAD_LETTER_MARGIN_BYTES,
            ),
        )
