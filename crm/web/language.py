"""The pages' languages: gettext catalogues, read from `locale/LANGUAGE/*.po` when the program starts.

Message ids are the English texts. Every section has a file of its own; a message that no file has stays English.
"""

from __future__ import annotations

import io
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


def preferred(accepted: str) -> str:
    """The first of our languages that an Accept-Language header names."""
    for part in accepted.split(","):
        code = part.split(";")[0].strip().lower()[:2]
        if code in LANGUAGES:
            return code
    return DEFAULT
