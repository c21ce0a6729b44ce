"""RFID keys: found by any way of writing them, by what they are bound to, lost or not. crm.keys.keys changes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import sqlalchemy as sa

from crm.desk.resource import Field, Find, Kind, Resource
from crm.keys.formats import KeyFormat, reverse, ways
from crm.keys.keys import BY_TAIL
from crm.keys.reach import keys_within
from crm.model import table
from crm.rights import Reach, Right
from crm.sections.shared import read_id
from crm.tables.keys import Key, KeyBinding, KeyScope, Technology
from crm.tables.people import ResidentFlat
from crm.tables.search import SearchWord

SECTION = "Keys"
KEYS, _BINDINGS, _WORDS = table(Key), table(KeyBinding), table(SearchWord)
TECHNOLOGIES = (("em_marin", "EM-Marin"), ("mifare", "Mifare"), ("unknown", "unknown"))
STATES = (("in_use", "in use"), ("lost", "lost: it opens nothing"))
FORMATS: Mapping[KeyFormat, str] = {
    KeyFormat.HEX: "hex, as the key sends it",
    KeyFormat.HEX_REVERSED: "hex, bytes the other way round",
    KeyFormat.HEX_PADDED: "hex, seven bytes with zeros before it",
    KeyFormat.DECIMAL: "a number",
    KeyFormat.DECIMAL_REVERSED: "a number, bytes the other way round",
    KeyFormat.WIEGAND_26: "Wiegand-26: series and number",
    KeyFormat.WIEGAND_34: "Wiegand-34: two numbers",
    KeyFormat.EM_PRINTED: "as printed on EM-Marin keys",
    KeyFormat.DALLAS: "Touch Memory (Dallas)",
}
SCOPES: Mapping[KeyScope, tuple[str, str]] = {  # the label, and the resource in which what is meant is found
    KeyScope.FLAT: ("Flat", "flats"),
    KeyScope.ENTRANCE: ("Entrance", "entrances"),
    KeyScope.HOUSE: ("House", "houses"),
    KeyScope.COMPANY: ("Company", "companies"),
    KeyScope.RESIDENT: ("Resident", "residents"),
    KeyScope.EMPLOYEE: ("Employee", "employees"),
    KeyScope.EVERYWHERE: ("Everywhere", ""),
}


def written_as(text: str) -> sa.ColumnElement[bool]:
    """The condition on a key that this text means it, in any way of writing, or the beginning of its UID.

    Each part is a lookup in an index. Raises ValueError.
    """
    readings = ways(text)
    uids = {each.uid for each in readings}
    uids |= {uid[-size:] for uid in uids for size in (8, 6) if len(uid) in (8, 10)}
    found = [sa.select(KEYS.c.id).where(KEYS.c.uid.in_(sorted(uids)))] if uids else []
    for end in sorted({each.uid for each in readings if len(each.uid) in (6, 8)}):
        tail = sa.and_(_WORDS.c.word == end[-6:].lower(), _WORDS.c.kind == BY_TAIL)
        either = sa.or_(KEYS.c.uid.endswith(end), KEYS.c.uid.startswith(reverse(end)))
        longer = sa.select(KEYS.c.id).where(KEYS.c.id.in_(sa.select(_WORDS.c.ref_id).where(tail)), either)
        found.append(longer)
    begin = "".join(each for each in text.upper().removeprefix("0X") if each not in " :-.")
    if 2 <= len(begin) <= 20 and not begin.strip("0123456789ABCDEF"):
        found.append(sa.select(KEYS.c.id).where(KEYS.c.uid >= begin, KEYS.c.uid < begin + "G"))
    if not found:
        raise ValueError("a key is expected, in any way of writing it, or the beginning of its hex digits")
    return KEYS.c.id.in_(sa.union(*found))


def _of_house(text: str) -> sa.ColumnElement[bool]:
    """Bound to the house, to something or somebody in it, or to its company."""
    return keys_within(Reach(houses=frozenset({read_id(text)})))


def _of_flat(text: str) -> sa.ColumnElement[bool]:
    """Bound to the flat, or to who lives there."""
    flat, ref = read_id(text), _BINDINGS.c.ref_id
    lives = sa.select(ResidentFlat.resident_id).where(ResidentFlat.flat_id == flat)
    mine = sa.or_(
        sa.and_(_BINDINGS.c.scope == KeyScope.FLAT, ref == flat),
        sa.and_(_BINDINGS.c.scope == KeyScope.RESIDENT, ref.in_(lives)),
    )
    return KEYS.c.id.in_(sa.select(_BINDINGS.c.key_id).where(mine))


def _in_state(text: str) -> sa.ColumnElement[bool]:
    if text not in dict(STATES):
        raise ValueError("one of these is expected: " + ", ".join(dict(STATES)))
    return KEYS.c.lost_at.is_not(None) if text == "lost" else KEYS.c.lost_at.is_(None)


def _bound(name: str, label: str, to: str, where: Callable[[str], sa.ColumnElement[bool]]) -> Field:
    """A filter by what keys are bound to."""
    return Field(
        name=name,
        label=label,
        kind=Kind.REFERENCE,
        refers_to=to,
        written=False,
        find=Find.SAME,
        where=where,
    )


def _picked(text: str) -> sa.ColumnElement[bool]:
    try:
        return written_as(text)
    except ValueError:
        return sa.false()


KEYS_RESOURCE = Resource(
    name="keys",
    entity="key",
    label="Keys",
    label_one="Key",
    section=SECTION,
    icon="key",
    model=Key,
    source=KEYS,
    title=KEYS.c.uid,
    view=Right.KEYS_VIEW,
    edit=Right.KEYS_EDIT,
    reach=keys_within,
    creates=False,
    deletes=False,
    picked_by=_picked,
    fields=(
        Field(
            name="uid",
            label="Key, in any way of writing it",
            column=KEYS.c.uid,
            written=False,
            find=Find.SAME,
            where=written_as,
            example="04A1B2C3",
        ),
        Field(
            name="technology",
            label="Technology",
            kind=Kind.CHOICE,
            column=KEYS.c.technology,
            choices=TECHNOLOGIES,
            default=Technology.UNKNOWN.value,
            optional=False,
            find=Find.SAME,
        ),
        Field(
            name="state",
            label="State",
            kind=Kind.CHOICE,
            column=sa.case((KEYS.c.lost_at.is_not(None), "lost"), else_="in_use"),
            choices=STATES,
            written=False,
            find=Find.SAME,
            where=_in_state,
        ),
        Field(
            name="note",
            label="Note",
            column=KEYS.c.note,
            default="",
            longest=200,
            example="консьерж",
        ),
        Field(
            name="seen_at",
            label="Last seen",
            kind=Kind.TIME,
            column=KEYS.c.seen_at,
            written=False,
        ),
        Field(name="seen_by", label="at panel", column=KEYS.c.seen_by, written=False),
        Field(name="given", label="As it came in", column=KEYS.c.given, written=False, listed=False),
        Field(
            name="format",
            label="read as",
            kind=Kind.CHOICE,
            column=KEYS.c.format,
            choices=tuple((each.value, label) for each, label in FORMATS.items()),
            written=False,
            listed=False,
        ),
        Field(
            name="created_at",
            label="Added",
            kind=Kind.TIME,
            column=KEYS.c.created_at,
            written=False,
        ),
        Field(
            name="lost_at",
            label="Lost since",
            kind=Kind.TIME,
            column=KEYS.c.lost_at,
            written=False,
            listed=False,
        ),
        Field(
            name="lost_why",
            label="Why it is lost",
            column=KEYS.c.lost_why,
            written=False,
            listed=False,
        ),
        _bound("flat_id", "Flat", "flats", _of_flat),
        _bound("house_id", "House", "houses", _of_house),
    ),
)


RESOURCES: tuple[Resource, ...] = (KEYS_RESOURCE,)
