"""Errors of a command that Kafka did not acknowledge. A command that is invalid in itself is a ValueError."""


class PublishError(Exception):
    """`command_id` names the command in a second try."""

    code: str

    def __init__(self, command_id: str, detail: str) -> None:
        super().__init__(f"{detail} (command {command_id})")
        self.command_id = command_id
        self.detail = detail


class PublishUnknown(PublishError):  # noqa: N818 - not a failure: it may well have arrived
    """Kafka did not acknowledge in time. Publishing again with the same command id is safe."""

    code = "publish_unknown"


class PublishRefused(PublishError):  # noqa: N818 - the opposite of PublishUnknown
    """Kafka refused it for good, and nothing was written."""

    code = "publish_refused"


class KafkaUnreachable(Exception):  # noqa: N818 - a state of the world
    """Kafka could not be reached within the time allowed for it."""

    code = "kafka_unreachable"
