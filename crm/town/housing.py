"""More of the demo town's houses: streets, and as many flats as such houses have, most of them with nobody's app.

`fill_housing` adds to what `crm.town.town.fill` has written, once; a second time it changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from crm.desk.desk import Desk
from crm.housing.doors import Numbering, doors_of, renumber
from crm.housing.new_houses import add_flats
from crm.housing.plan import plan, read_doors
from crm.model import City, Flat, House, Street, table
from crm.search.index import Indexed, reindex
from crm.sections import all_resources
from crm.store import Store
from crm.who import SYSTEM

_GATE = "ворота"
# What each house has, by city, street and number; the gate of two of them calls all their flats, too.
_HOUSES: Mapping[tuple[str, str, str], str] = {
    ("Челябинск", "ул. Ленина", "5"): "1: 1-36 (9); 2: 37-72 (9)",
    ("Челябинск", "ул. Ленина", "7"): "1: 1-40 (2-11 x4); 2: 41-80 (2-11 x4)",
    ("Челябинск", "пр. Победы", "11"): "1: 1-45 (9)",
    ("Копейск", "ул. Мира", "1"): "1: 1-20 (5)",
    ("Копейск", "пр. Коммунистический", "3"): "1: 1-12, 12а, 13-35 (9)",
}
_STORED = ("Копейск", "ул. Мира", "1")  # its panel has numbers of its own: 112012 for flat 12
_FROM = 112000


def fill_housing(store: Store) -> None:
    """Raises StoreError."""
    desk = Desk(store, all_resources())
    for (city, street, number), text in _HOUSES.items():
        house_id = _on_street(store, city, street, number)
        if house_id is None:
            continue
        doors = read_doors(text)
        add_flats(desk, SYSTEM, house_id, doors, call=True)
        with store.transaction() as connection:
            for door in plan(doors).doors:
                for flat in door.flats:
                    mine = sa.and_(Flat.house_id == house_id, Flat.number == flat.number)
                    connection.execute(sa.update(table(Flat)).where(mine).values(floor=flat.floor))
            reindex(connection, Indexed.HOUSE, [house_id])
            at = doors_of(connection, house_id)
        if any(each.name == _GATE for each in at):
            last = plan(doors).flats
            add_flats(desk, SYSTEM, house_id, read_doors(f"{_GATE}: 1-{last}"), call=True)
        if (city, street, number) == _STORED:
            renumber(desk, SYSTEM, house_id, at[0].id, "", Numbering.ADDED, _FROM)


def _on_street(store: Store, city: str, street: str, number: str) -> int | None:
    """The house, with a row for its street; None: the town is not there."""
    with store.session() as session:
        house = session.scalar(
            sa.select(House)
            .join(City, City.id == House.city_id)
            .where(City.name == city, House.street == street, House.number == number)
        )
        if house is None:
            return None
        if house.street_id is None:
            known = sa.select(Street).where(Street.city_id == house.city_id, Street.name == street)
            row = session.scalar(known)
            if row is None:
                row = Street(city_id=house.city_id, name=street)
                session.add(row)
                session.flush()
            house.street_id = row.id
        return house.id
