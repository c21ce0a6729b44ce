"""The pages' languages: gettext catalogues, read from `locale/LANGUAGE/*.po` when the program starts.

Message ids are the English texts. Every section has a file of its own; a message that no file has stays English.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from functools import cache
from gettext import GNUTranslations, NullTranslations
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LOCALE = Path(__file__).resolve().parent / "locale"
LANGUAGES: Mapping[str, str] = {"ru": "Русский", "en": "English"}
DEFAULT = "ru"
TELLING = 8  # characters beside its values by which a message that begins with one is known
_VALUE = re.compile(r"%\((\w+)\)s")


@cache
def translations(language: str) -> NullTranslations:
    """What `language` says; English for one that there is not."""
    files = sorted((LOCALE / language).glob("*.po"))
    if language not in LANGUAGES or not files:
        return NullTranslations()
    whole = Catalog(locale=language)  # with the plural forms of its language
    for file in files:
        with file.open("rb") as opened:
            part = read_po(opened, locale=language)
        for message in part:
            if message.id and message.string and not message.fuzzy:
                whole.add(message.id, message.string, context=message.context)
    buffer = io.BytesIO()
    write_mo(buffer, whole)
    buffer.seek(0)
    return GNUTranslations(buffer)


@cache
def _with_values(language: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Messages with values in them ("there is no house %(id)s"), each as a pattern of what is said at last."""
    found = []
    for file in sorted((LOCALE / language).glob("*.po")):
        with file.open("rb") as opened:
            for message in read_po(opened, locale=language):
                if isinstance(message.id, str) and _VALUE.search(message.id) and message.string:
                    parts = _VALUE.split(message.id)
                    if not parts[0] and len("".join(parts[2::2])) < TELLING:
                        continue  # "%(n)s s" would fit whatever ends so
                    for n in range(len(parts)):
                        name = parts[n]
                        if n % 2 == 0:
                            parts[n] = re.escape(name)
                        else:
                            parts[n] = f"(?P={name})" if f"(?P<{name}>.*)" in parts else f"(?P<{name}>.*)"
                    found.append((re.compile("".join(parts), re.S), str(message.string)))
    # The longest first: "flat %(flat)s" fits all that begins so.
    return tuple(sorted(found, key=lambda each: -len(each[0].pattern)))


def say(language: str, text: str) -> str:
    """A message that has its values already ("there is no house 7"), in `language`. What nobody knows stays as it is."""
    said = translations(language).gettext(text) if text else ""
    if said != text or not text:
        return said
    for pattern, translated in _with_values(language):
        if match := pattern.fullmatch(text):
            return translated % match.groupdict()
    return text


def preferred(accepted: str) -> str:
    """The first of our languages that an Accept-Language header names."""
    for part in accepted.split(","):
        code = part.split(";")[0].strip().lower()[:2]
        if code in LANGUAGES:
            return code
    return DEFAULT
