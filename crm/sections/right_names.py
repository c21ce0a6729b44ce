"""What each right lets one do, in words, by the section of the menu that it is of. Message ids for gettext."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType

from crm.rights import Right, parse_rights

_LABELS = {
    Right.BOARD_VIEW: ("Live board", "see the board"),
    Right.CALLS_VIEW: ("Calls", "see calls"),
    Right.CALLS_LISTEN: ("Calls", "hear recordings"),
    Right.CALLS_MAKE: ("Calls", "ring a flat's phones as a test"),
    Right.SOS_VIEW: ("112", "see calls and numbers"),
    Right.SOS_EDIT: ("112", "change pools and tests"),
    Right.QUALITY_VIEW: ("Quality", "see results"),
    Right.QUALITY_EDIT: ("Quality", "run campaigns"),
    Right.HOUSING_VIEW: ("Housing stock", "see houses and flats"),
    Right.HOUSING_EDIT: ("Housing stock", "change houses and flats"),
    Right.PEOPLE_VIEW: ("Users", "see residents, accounts and phones"),
    Right.PEOPLE_EDIT: ("Users", "change residents, accounts and phones"),
    Right.COMPANIES_VIEW: ("Companies", "see companies"),
    Right.COMPANIES_EDIT: ("Companies", "change companies"),
    Right.CODES_VIEW: ("Companies", "see access codes"),
    Right.CODES_MAKE: ("Companies", "make a new access code"),
    Right.DEVICES_VIEW: ("Devices", "see panels and relays"),
    Right.DEVICES_EDIT: ("Devices", "change panels and relays"),
    Right.DOORS_OPEN: ("Devices", "open doors"),
    Right.KEYS_VIEW: ("Keys", "see keys"),
    Right.KEYS_EDIT: ("Keys", "change keys"),
    Right.BLOCKS_VIEW: ("Blocks", "see blocks"),
    Right.BLOCKS_SET: ("Blocks", "block by request"),
    Right.BLOCKS_DEBT: ("Blocks", "block for debt"),
    Right.BLOCKS_TECHNICAL: ("Blocks", "block for technical reasons"),
    Right.BLOCKS_ADMIN: ("Blocks", "block as an administrator"),
    Right.BLOCK_KINDS_EDIT: ("Blocks", "change the kinds of block"),
    Right.IMPORTS_RUN: ("Imports", "import files"),
    Right.STAFF_VIEW: ("Staff", "see employees, groups and sign-ins"),
    Right.STAFF_EDIT: ("Staff", "change employees and groups"),
    Right.TOKENS_EDIT: ("Staff", "make and revoke tokens"),
    Right.CHANGES_VIEW: ("Staff", "see who changed what"),
}


@cache
def rights_by_section() -> Mapping[str, tuple[tuple[Right, str], ...]]:
    """The rights, each with what it lets one do, by section; in the order of the menu."""
    found: dict[str, list[tuple[Right, str]]] = {}
    for right, (section, label) in _LABELS.items():
        found.setdefault(section, []).append((right, label))
    return MappingProxyType({section: tuple(each) for section, each in found.items()})


def rights_in_words(text: str, say: Callable[[str], str]) -> str:
    """Rights as they are kept ("calls.view keys.view"), by section; `say` translates a message."""
    chosen = parse_rights(text)
    if chosen == frozenset(Right):
        return say("everything")
    found = []
    for section, rights in rights_by_section().items():
        if labels := [say(label) for right, label in rights if right in chosen]:
            found.append(f"{say(section)}: {', '.join(labels)}")
    return "; ".join(found)
