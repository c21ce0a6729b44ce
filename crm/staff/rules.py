"""What an employee's login, name and language may be."""

from __future__ import annotations

import re

LANGUAGES = ("ru", "en")
LOGIN = re.compile(r"[a-z0-9][a-z0-9._@+-]{1,63}")
NAME_LENGTH = 100


def wrong_with(login: str, name: str, language: str) -> dict[str, str]:
    """What is wrong with these, by the fields' names."""
    errors: dict[str, str] = {}
    if not LOGIN.fullmatch(login):
        errors["login"] = "2 to 64 Latin letters, digits and . _ @ + - are expected, a letter or digit first"
    if not 1 <= len(trimmed(name)) <= NAME_LENGTH or not trimmed(name).isprintable():
        errors["name"] = f"a name of 1 to {NAME_LENGTH} characters is needed"
    if language not in LANGUAGES:
        errors["language"] = f"one of {', '.join(LANGUAGES)} is expected"
    return errors


def trimmed(name: str) -> str:
    """A name as it is kept: one space between two words."""
    return " ".join(name.split())
