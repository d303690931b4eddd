"""docs/settings.md says what the settings classes say."""

import re

from deploy.settings_page import PAGE, page


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run `python -m deploy.settings_page`"


def test_every_setting_of_a_process_has_a_meaning_or_says_it_by_its_name() -> None:
    obvious = {"KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD", "KAFKA_SSL_KEY_FILE", "KAFKA_SSL_KEY_PASSWORD"}
    obvious |= {"S3_REGION", "LOG_LEVEL", "HTTP_HOST", "ENDPOINT_LOG_LEVEL"}
    silent = set(re.findall(r"^\| `([A-Z0-9_]+)` \| [^|]* \|  \|$", page(), re.MULTILINE))
    assert silent <= obvious, silent - obvious


def test_no_default_is_a_secret() -> None:
    assert "SecretStr" not in page()
    assert "**" not in page()
