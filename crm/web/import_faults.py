"""What is wrong with a file, in the language of whoever reads it: most of it is "this is expected, not that"."""

from __future__ import annotations

import re

from crm.web.language import say, translations

_NEEDED = "this is needed, and empty: "
_EXPECTED = re.compile(r"(?P<expected>.+?) is expected, not (?P<found>what is there|\".*\")", re.S)


def said_fault(language: str, text: str) -> str:
    """The text of a Fault. What nobody has translated stays as it is."""
    if text.startswith(_NEEDED):
        form = translations(language).gettext("this is needed, and empty: {what}")
        return form.format(what=say(language, text.removeprefix(_NEEDED)))
    match = _EXPECTED.fullmatch(text)
    if match is None:
        return say(language, text)
    form = translations(language).gettext("{expected} is expected, not {found}")
    return form.format(expected=say(language, match["expected"]), found=say(language, match["found"]))
