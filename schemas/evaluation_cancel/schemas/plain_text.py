"""Strangers' text for terminals and logs: what could control a terminal or hide among letters is shown as an escape."""

from __future__ import annotations

import re
from typing import Final

_INVISIBLE: Final = re.compile(r"[^ -~]")


def visible(text: str) -> str:
    """The text on one line. Control, format and bidirectional characters become escapes, as `repr` writes them."""
    return text if text.isprintable() else _INVISIBLE.sub(_python_escape, text)


def visible_json(document: str) -> str:
    """The same document: such characters within its strings are written as JSON's escapes. Line ends stay."""
    return _INVISIBLE.sub(_json_escape, document)


def _python_escape(found: re.Match[str]) -> str:
    character = found[0]
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def _json_escape(found: re.Match[str]) -> str:
    character = found[0]
    if character.isprintable() or character == "\n":
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
