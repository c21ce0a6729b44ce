"""The board's sentences in the viewer's language: what alarms say, and why a node or a link is not well.

Nodes speak English. An alarm's code says which of our sentences it is (said.py); one without a code that we know, and
what comes from elsewhere (Asterisk, a provider, the database), is looked for among the messages, and stays as it is if
there is none.
"""

from __future__ import annotations

from crm.calls.words import outcome_words
from crm.web import language as languages
from live import LiveAlarm
from said import ENGLISH, Says


def alarm_words(alarm: LiveAlarm, language: str) -> str:
    """What an alarm says."""
    words = languages.translations(language)
    try:
        sentence = ENGLISH[Says(alarm.code)]
        return words.gettext(sentence) % {
            name: _value(name, text, language) for name, text in alarm.values.items()
        }
    except (ValueError, KeyError):
        return why_words(alarm.text, language)


def why_words(text: str, language: str) -> str:
    """A reason, or several ("asterisk: …; edds-1: …"): of each what can be translated of it."""
    whole = languages.say(language, text)
    if whole != text or not text:
        return whole
    return "; ".join(_piece(each, language) for each in text.split("; "))


def _piece(text: str, language: str) -> str:
    said = languages.say(language, text)
    name, colon, rest = text.partition(": ")
    if said != text or not colon:
        return said
    return f"{languages.say(language, name)}: {_piece(rest, language)}"


def _value(name: str, text: str, language: str) -> str:
    match name:
        case "outcome":
            return outcome_words(text, languages.translations(language))
        case "why":
            return why_words(text, language)
        case _:
            return text
