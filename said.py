"""What alarms say: each sentence has a code and its values beside its English, so that others word it in their language.

Who raises an alarm says `said(Says.POOL_LOW, spare=2, numbers=40)`. The CRM has a translation of each sentence here;
a code that it does not know yet, of a newer node, it shows in English.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from attrs import field, frozen


class Says(Enum):
    """The sentences, by their codes."""

    CALL_FAILED = "call_failed"
    CITY_UNKNOWN = "city_unknown"
    CITY_UNSERVED = "city_unserved"
    GUARANTEE_BROKEN = "guarantee_broken"
    LENT_FROM_FILE = "lent_from_file"
    NO_NUMBER = "no_number"
    POOL_LOW = "pool_low"
    TEST_FAILED = "test_failed"
    TRUNK_MISSING = "trunk_missing"
    TRUNK_OFFLINE = "trunk_offline"
    TRUNK_REFUSED = "trunk_refused"
    TRUNK_SILENT = "trunk_silent"
    NODE_AWAY = "node_away"
    NODE_NOT_READY = "node_not_ready"


ENGLISH: Mapping[Says, str] = {
    Says.CALL_FAILED: "%(place)s: %(outcome)s, call %(call)s",
    Says.CITY_UNKNOWN: "panel %(panel)s: its city is not known: the default dispatch is called",
    Says.CITY_UNSERVED: "panel %(panel)s: no [dispatch.…] has its city: the default dispatch is called",
    Says.GUARANTEE_BROKEN: "number %(number)s was lent to panel %(panel)s while it was still held for another",
    Says.LENT_FROM_FILE: "numbers are lent from the node's file: %(why)s",
    Says.NO_NUMBER: "its pool has no number at all: calls go out without one, and cannot be called back",
    Says.POOL_LOW: "%(spare)s of %(numbers)s numbers are left to lend: put more into sos_numbers",
    Says.TEST_FAILED: "%(place)s: a test of its 112 failed: %(why)s",
    Says.TRUNK_MISSING: "no such endpoint is in pjsip.conf",
    Says.TRUNK_OFFLINE: "it does not answer Asterisk's OPTIONS, or is not registered",
    Says.TRUNK_REFUSED: "a call was refused: %(why)s",
    Says.TRUNK_SILENT: "no sign of life in %(seconds)s s",
    Says.NODE_AWAY: "%(url)s: %(why)s",
    Says.NODE_NOT_READY: "%(why)s",
}


@frozen
class Said:
    """A sentence in English, with its code and values; of one that has none they are empty."""

    text: str
    code: str = ""
    values: Mapping[str, str] = field(factory=dict)


def said(sentence: Says, **values: object) -> Said:
    """The sentence with its values."""
    texts = {name: str(value) for name, value in values.items()}
    return Said(ENGLISH[sentence] % texts, sentence.value, texts)
