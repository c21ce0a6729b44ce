"""How a call looks: the words for its kind, and the colour of how it ended. Labels are message ids for gettext."""

from __future__ import annotations

from collections.abc import Mapping

from crm.values.records import Outcome

KIND_LABELS: Mapping[str, str] = {
    "visitor": "visitor",
    "test_ring": "test ring",
    "quality": "handset check",
    "sos": "112",
    "call_back": "112 calls back",
    "sos_test": "112 test call",
}
_BAD = (Outcome.FAILED, Outcome.UNREACHABLE, Outcome.DIRECTORY_AWAY, Outcome.LOST)
_LOOK = (Outcome.UNKNOWN_PANEL, Outcome.UNKNOWN_FLAT, Outcome.NO_ACCOUNTS, Outcome.BLOCKED)
_FINE = (Outcome.TALKED, Outcome.AUTO_OPENED)


def tone(outcome: Outcome | None) -> str:
    """The colour of how a call ended."""
    if outcome in _FINE:
        return "fine"
    return "act" if outcome in _BAD else "look" if outcome in _LOOK else "off"
