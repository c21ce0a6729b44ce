"""Numbers put into cities' pools, and taken out of them, by somebody: nodes see the pool change, and load it anew.

A number that is guaranteed to a panel stays until that is over: 112 might call back on it. Raises crm.who's Refused
errors, DatabaseAway and SchemaMismatch (crm.store).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from config import Config
from crm.changes import note_change
from crm.model import table
from crm.rights import Right
from crm.sos.leases import count_up, lease_of
from crm.sos.stands import number_stands
from crm.sos.text import cities
from crm.store import Store
from crm.tables.sos import SosNumber
from crm.values.sos import Standing
from crm.who import Conflict, Invalid, Who

ENTITY = "sos_number"
AT_ONCE = 1000
_NUMBERS = table(SosNumber)


def numbers_of(text: str) -> list[str]:
    """Numbers as somebody typed them, one a line or between commas: "+7 351 200-00-01" is one. Raises Invalid."""
    parts = [re.sub(r"[\s()\-.]", "", part) for part in re.split(r"[\n,;]", text)]
    return check_numbers([part for part in parts if part])


def check_numbers(numbers: Sequence[str]) -> list[str]:
    """The same numbers, each once. Raises Invalid."""
    for number in numbers:
        if not re.fullmatch(r"\+?[0-9]{1,20}", number):
            raise Invalid(
                {
                    "numbers": f"{number[:40]!r} is no telephone number: digits are expected, perhaps behind a +"
                }
            )
    if not 0 < len(numbers) <= AT_ONCE:
        raise Invalid({"numbers": f"from 1 to {AT_ONCE} numbers are expected"})
    return list(dict.fromkeys(numbers))


def pools_to_fill(settings: Config, store: Store) -> dict[str, str]:
    """The FIAS ids that a pool may have ("": the default dispatch's), each with its city's name."""
    names = dict(cities(store))
    return {each.fias: names.get(each.fias, "") for each in settings.dispatch.values()} | names


def put_in(
    store: Store, who: Who, settings: Config, fias: str, numbers: Iterable[str], now: float
) -> list[str]:
    """Put numbers into a city's pool; those that are in one already are left alone. Which were put in."""
    who.need_everywhere(Right.SOS_EDIT)
    wanted = check_numbers([*numbers])
    if fias not in pools_to_fill(settings, store):
        raise Invalid({"fias": "no city and no dispatch has this FIAS id"})
    with store.transaction() as connection:
        known = set(connection.scalars(sa.select(_NUMBERS.c.number).where(_NUMBERS.c.number.in_(wanted))))
        new = [number for number in wanted if number not in known]
        for number in new:
            values = {"fias": fias, "number": number}
            row = sa.insert(_NUMBERS).values(**values, status=0).returning(_NUMBERS.c.id)
            id = connection.execute(row).scalar_one()
            note_change(connection, who, ENTITY, id, "create", None, values, at=now)
        if new:
            count_up(connection, fias)
    return new


def take_out(store: Store, who: Who, settings: Config, numbers: Iterable[str], now: float) -> list[str]:
    """Take numbers out of their pools, all or none; which were in one.

    Raises Conflict: one is in a call, or guaranteed to a panel.
    """
    who.need_everywhere(Right.SOS_EDIT)
    wanted = check_numbers([*numbers])
    with store.transaction() as connection:
        asked = sa.select(_NUMBERS.c.id, _NUMBERS.c.fias, _NUMBERS.c.number, _NUMBERS.c.lease)
        # The pools are counted up first: a node that lends meanwhile looks again, and finds the number gone.
        pools = connection.scalars(sa.select(_NUMBERS.c.fias).where(_NUMBERS.c.number.in_(wanted)).distinct())
        for fias in sorted(pools):
            count_up(connection, fias)
        found = connection.execute(asked.where(_NUMBERS.c.number.in_(wanted))).all()
        for row in found:
            lease = lease_of(connection, row.lease) if row.lease else None
            stands = number_stands(settings.sos, row.number, lease, now)
            if stands.standing >= Standing.HELD:
                why = "is in a call" if stands.standing is Standing.IN_CALL else "is guaranteed to a panel"
                raise Conflict(f"{row.number} {why}: take it out when that is over")
            note_change(
                connection, who, ENTITY, row.id, "delete", {"fias": row.fias, "number": row.number}, at=now
            )
        connection.execute(sa.delete(_NUMBERS).where(_NUMBERS.c.id.in_([row.id for row in found])))
    return [row.number for row in found]
