"""How a flat looks in its house's grid, by what is asked: a colour, a sign and a word, so that none stands alone.

Labels are message ids for gettext.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from zoneinfo import ZoneInfo

from attrs import frozen

from crm.housing.grid import FlatState, GridFlat
from crm.rights import Right
from crm.values.records import Outcome
from crm.web.show import Clock


class View(Enum):
    """What the grid's colours tell."""

    STATE = "state"
    HANDSET = "handset"
    BLOCKS = "blocks"
    ACCOUNTS = "accounts"
    CALL = "call"


@frozen
class Look:
    """`kind` is the colour (fine, look, act, off), `sign` what stands beside the number."""

    kind: str
    sign: str
    word: str


@frozen
class Cell:
    flat: GridFlat
    look: Look
    beside: str = ""  # a short text instead of the sign


LABELS: Mapping[View, str] = {
    View.STATE: "State",
    View.HANDSET: "Handset",
    View.BLOCKS: "Blocks",
    View.ACCOUNTS: "Accounts",
    View.CALL: "Last call",
}
NEEDS: Mapping[View, Right | None] = {
    View.STATE: None,
    View.HANDSET: Right.QUALITY_VIEW,
    View.BLOCKS: Right.BLOCKS_VIEW,
    View.ACCOUNTS: Right.PEOPLE_VIEW,
    View.CALL: Right.CALLS_VIEW,
}
STATES: Mapping[FlatState, Look] = {
    FlatState.FINE: Look("fine", "●", "rings fine"),
    FlatState.SILENT: Look("act", "✕", "no phone rang at the last call"),
    FlatState.ASLEEP: Look("look", "◐", "some phones cannot be woken"),
    FlatState.BLOCKED: Look("act", "■", "calls blocked"),
    FlatState.HANDSET_BAD: Look("act", "▲", "handset bad"),
    FlatState.NO_APP: Look("off", "○", "no app"),
    FlatState.NEVER_CALLED: Look("off", "·", "never called"),
}
_HANDSETS: Mapping[str, Look] = {
    "good": Look("fine", "●", "good"),
    "weak": Look("look", "◐", "weak"),
    "noisy": Look("look", "≈", "noisy"),
    "one_way": Look("act", "▲", "one way"),
    "dead": Look("act", "✕", "dead"),
}
_NEVER_CHECKED = Look("off", "·", "never checked")
_NO_BLOCK, _BLOCKED = Look("fine", "●", "no block"), Look("act", "■", "calls blocked")
_BLOCKED_BUT_RINGS = Look("look", "◐", "blocked, but calls ring")
_NO_APP, _ALL_RING = Look("off", "○", "no app"), Look("fine", "●", "all accounts ring")
_SOME_RING, _NONE_RINGS = Look("look", "◐", "some accounts do not ring"), Look("act", "▲", "no account rings")
_NEVER_CALLED, _TAKEN = Look("off", "·", "never called"), Look("fine", "●", "answered")
_MISSED, _SILENT = Look("look", "◐", "nobody answered"), Look("act", "▲", "nothing rang")
_OPENED = (Outcome.TALKED, Outcome.AUTO_OPENED)
_RANG = (
    *(Outcome.NOBODY_ANSWERED, Outcome.DECLINED, Outcome.RING_TIMEOUT, Outcome.GAVE_UP),
    *(Outcome.REPLACED, Outcome.PREEMPTED, Outcome.STOPPED, Outcome.LOST),
)


def cell_of(view: View, flat: GridFlat, clock: Clock, zone: str) -> Cell:
    """How a flat looks."""
    match view:
        case View.STATE:
            return Cell(flat, STATES[flat.state])
        case View.HANDSET:
            return Cell(flat, _handset(flat))
        case View.BLOCKS:
            look = _BLOCKED if flat.stopped else _BLOCKED_BUT_RINGS if flat.blocks else _NO_BLOCK
            return Cell(flat, look)
        case View.ACCOUNTS:
            return _accounts(flat)
        case View.CALL:
            if flat.call is None:
                return Cell(flat, _NEVER_CALLED)
            look = _SILENT if flat.call.silent else _call(flat.call.outcome)
            return Cell(flat, look, _short(clock, flat.call.at, zone))


def legend(cells: Iterable[Cell]) -> list[tuple[Look, int]]:
    """The looks that there are, each with how many flats have it; the most first."""
    found: dict[Look, int] = {}
    for each in cells:
        found[each.look] = found.get(each.look, 0) + 1
    return sorted(found.items(), key=lambda item: -item[1])


def views(rights: frozenset[Right]) -> list[View]:
    """Those that who has these rights may see."""
    return [view for view, right in NEEDS.items() if right is None or right in rights]


def handset_look(verdict: str) -> Look:
    """That of a verdict; one that says nothing of the handset has no colour."""
    return _HANDSETS.get(verdict, Look("off", "○", verdict.replace("_", " ")))


def _handset(flat: GridFlat) -> Look:
    return _NEVER_CHECKED if flat.handset is None else handset_look(flat.handset.verdict)


def _accounts(flat: GridFlat) -> Cell:
    phones = flat.phones
    if phones is None or not phones.accounts:
        return Cell(flat, _NO_APP)
    look = _NONE_RINGS if not phones.ringing else _SOME_RING
    return Cell(flat, _ALL_RING if phones.ringing == phones.accounts else look, str(phones.accounts))


def _call(outcome: Outcome | None) -> Look:
    if outcome in _OPENED:
        return _TAKEN
    return _MISSED if outcome is None or outcome in _RANG else _SILENT


def _short(clock: Clock, at: float, zone: str) -> str:
    """ "14:03" today, else the day: "24.11"."""
    where = ZoneInfo(zone) if zone else clock.zone
    moment = datetime.fromtimestamp(at, where)
    today = datetime.fromtimestamp(clock.now, where).date()
    return moment.strftime("%H:%M" if moment.date() == today else "%d.%m")
