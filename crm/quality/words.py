"""Why a handset got its verdict, and what was measured, in words of whatever language.

A node writes its reason as an English sentence of several parts (telephony/recording.py); here it is taken apart again
into the message ids that the catalogues have. What is not known stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Say = Callable[[str], str]

_VALUES = (
    "the noise floor is %(n)s dBFS",
    "the noise is %(n)s dBFS",
    "mains hum stands %(n)s dB over its neighbours",
    "mains hum is %(n)s of what is heard in pauses",
    "%(n)s of the speech is clipped",
    "our prompt comes back at %(n)s dB",
    "the network spoils the talk (R factor %(n)s)",
    "a voice is heard at %(n)s dBov",
    "the voice is only %(n)s dB above the noise in its pauses",
    "after the prompts only %(n)s s were listened, and nobody spoke",
    "a tone came back, and no voice in %(n)s s after the prompts",
    "the noise of a line came back, and no voice in %(n)s s after the prompts",
)
_PATTERNS = tuple((re.compile(re.escape(each).replace(r"%\(n\)s", r"(?P<n>\S+)")), each) for each in _VALUES)
_SENTENCES = (
    "a clear voice is heard",
    "the handset was lifted, and no packets came from the panel",
    "the panel answers by itself, and nobody was heard: nobody need have lifted",
    "the call was answered, and no packets came from the panel",
    "the call was answered, and nothing but silence came back",
    "the panel's test finds the line short",
    "the panel's test finds the line open",
    "though the panel's test finds the line short",
    "though the panel's test finds the line open",
    "and no voice is heard through it",
)
_LINES = {
    "short": "the line is short",
    "open": "the line is open",
    "on_hook": "the handset is on its hook",
    "off_hook": "the handset is off its hook",
    "level": "its level alone tells nothing",
    "unknown": "not known",
}
_WATCHED = "; to be watched: "
# Of these more is better; of all others less is.
AT_LEAST = frozenset({"packets", "r_factor", "speech", "speech_level", "snr"})


def why_words(text: str, say: Say) -> str:
    """The reason of a verdict."""
    said, _, watched = text.partition(_WATCHED)
    shown = _sentence(said, say) if said else ""
    if not watched:
        return shown
    names = ", ".join(measure_words(each, say) for each in watched.split(", "))
    return say("%(why)s; to be watched: %(names)s") % {"why": shown, "names": names}


def measure_words(name: str, say: Say) -> str:
    """What was measured: "speech_level" is the "speech level"."""
    return say(name.replace("_", " "))


def line_words(line: str, say: Say) -> str:
    """What a panel's test finds of the line to a flat; "": there was none."""
    return say(_LINES.get(line, line)) if line else ""


def _sentence(text: str, say: Say) -> str:
    """A whole that is known, or else its parts between commas, as long as possible."""
    known = _known(text, say)
    if known is not None:
        return known
    parts = text.split(", ")
    for n in range(len(parts) - 1, 0, -1):
        first, rest = ", ".join(parts[:n]), ", ".join(parts[n:])
        known = _known(first, say)
        if known is not None:
            return f"{known}, {_sentence(rest, say)}"
    return text


def _known(text: str, say: Say) -> str | None:
    for pattern, message in _PATTERNS:
        if match := pattern.fullmatch(text):
            return say(message) % match.groupdict()
    said = say(text)
    return said if said != text or text in _SENTENCES else None
