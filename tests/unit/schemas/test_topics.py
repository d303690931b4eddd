from evaluation_cancel.schemas.topics import Topics
from evaluation_cancel.schemas.wire.records import MAX_VALUE_BYTES


def test_a_prefix_goes_before_every_name() -> None:
    plain = Topics()
    assert plain.commands == "evaluations.cancel.commands.v1"
    assert plain.dead_letters == "evaluations.cancel.commands.v1.dlq"
    assert [spec.name for spec in Topics("dev.").specs()] == ["dev." + spec.name for spec in plain.specs()]


def test_a_dead_letter_has_room_for_the_reasons_beside_the_largest_command() -> None:
    commands, _, dead_letters = Topics().specs()
    assert dead_letters.max_message_bytes == commands.max_message_bytes + 64 * 1024
    assert commands.max_message_bytes > MAX_VALUE_BYTES


def test_the_broker_stamps_commands_and_history_is_never_compacted() -> None:
    settings = [spec.settings for spec in Topics().specs()]
    assert [each["message.timestamp.type"] for each in settings] == ["LogAppendTime", "CreateTime", "CreateTime"]
    assert {each["cleanup.policy"] for each in settings} == {"delete"}
