"""docs/settings.md says what the settings classes say."""

import re
from collections import Counter

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


def test_a_name_that_two_kinds_of_process_read_says_so_in_both_places() -> None:
    rows = [line for line in page().splitlines() if re.match(r"\| `[A-Z_]+` \|", line)]
    names = Counter(row.split("`")[1] for row in rows)
    twice = [row for row in rows if names[row.split("`")[1]] > 1]
    assert len(twice) >= 4
    assert all("The same variable as under" in row for row in twice)
