"""docs/settings.md agrees with the settings classes."""

import re
from collections import Counter

from deploy.settings_page import NAMES, PAGE, names_module, page


def test_the_page_and_the_names_are_current() -> None:
    assert PAGE.read_text() == page(), "run `python -m deploy.settings_page`"
    assert NAMES.read_text() == names_module(), "run `python -m deploy.settings_page`"


def test_every_setting_of_a_process_is_described() -> None:
    undescribed = set(re.findall(r"^\| `([A-Z0-9_]+)` \| [^|]* \|  \|$", page(), re.MULTILINE))
    assert undescribed <= {"ENDPOINT_LOG_LEVEL"}


def test_no_default_is_a_secret() -> None:
    assert "SecretStr" not in page()
    assert "**" not in page()


def test_both_descriptions_of_a_name_with_two_defaults_mention_the_other() -> None:
    rows = [line for line in page().splitlines() if re.match(r"\| `[A-Z_]+` \|", line)]
    names = Counter(row.split("`")[1] for row in rows)
    twice = [row for row in rows if names[row.split("`")[1]] > 1]
    assert len(twice) >= 4
    assert all("with another default and other bounds" in row for row in twice)
