"""What an import refers to by name: cities, streets, houses, entrances and companies, held in memory while it runs.

Flats, accounts and keys are too many for that: they are looked up in the database, all at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from attrs import define, field, frozen

from crm.imports.columns import BadCell, Column, Value, entrance_name, plain, shown, text
from crm.model import City, Entrance, House, HouseEntrance, Street
from crm.rights import Reach
from crm.tables.companies import Company

Cells = Mapping[str, Value]

HOUSE_COLUMNS = (
    Column(
        "house",
        "Дом",
        "House",
        "its FIAS id, own id or address; or else city, street and house number",
        text(600),
    ),
    Column("city", "Город", "City", "its name or FIAS id; where two have the name: region, name", text(255)),
    Column("street", "Улица", "Street", "with its kind, as in the list of houses: ул. Ленина", text(255)),
    Column("number", "Номер дома", "House number", "with its letter or building: 5а", text(20)),
)


@frozen
class KnownHouse:
    """A house that is there; `within`: it may be edited by who runs the import."""

    id: int
    city: int
    company: int | None
    within: bool


@define(eq=False)
class Book:
    """`reach` is that of who runs the import: of what lies beyond it nothing is told."""

    reach: Reach
    houses: dict[int, KnownHouse] = field(factory=dict)
    entrances: dict[int, dict[str, tuple[int, str]]] = field(
        factory=dict
    )  # by house and name: id, name as it is
    streets: dict[tuple[int, str], str] = field(factory=dict)  # by city and plain name: as it is written
    _cities: dict[str, set[int]] = field(factory=dict)
    _companies: dict[str, int] = field(factory=dict)
    _fias: dict[str, int] = field(factory=dict)
    _own: dict[str, int] = field(factory=dict)
    _addresses: dict[tuple[int, str, str], list[int]] = field(factory=dict)
    _titles: dict[str, list[int]] = field(
        factory=dict
    )  # addresses as lists have them: Челябинск, ул. Ленина 5

    def load(self, connection: sa.Connection) -> None:
        """Read all of it."""
        for id, fias, region, name in connection.execute(
            sa.select(City.id, City.fias, City.region, City.name)
        ):
            for word in {plain(name), plain(f"{region}, {name}"), plain(fias or name)}:
                self._cities.setdefault(word, set()).add(id)
        for city, name in connection.execute(sa.select(Street.city_id, Street.name)):
            self.streets.setdefault((city, plain(name)), name)
        for id, name, inn in connection.execute(sa.select(Company.id, Company.name, Company.inn)):
            self._companies[plain(name)] = id
            if inn:
                self._companies.setdefault(inn, id)
        columns = (
            House.id,
            House.city_id,
            House.company_id,
            House.fias,
            House.own_id,
            House.street,
            House.number,
        )
        mine = self.reach.of_houses().label("within")
        houses = sa.select(*columns, City.name, mine).join(City, City.id == House.city_id).order_by(House.id)
        for id, city, company, fias, own, street, number, name, within in connection.execute(houses):
            self.houses[id] = KnownHouse(id, city, company, bool(within))
            if fias:
                self._fias[fias.lower()] = id
            if own:
                self._own[own] = id
            self.streets.setdefault((city, plain(street)), street)
            self._addresses.setdefault(_address(city, street, number), []).append(id)
            if within:
                self._titles.setdefault(plain(f"{name}, {street} {number}"), []).append(id)
        doors = sa.select(HouseEntrance.house_id, Entrance.id, Entrance.name).join(
            Entrance, Entrance.id == HouseEntrance.entrance_id
        )
        for house, id, name in connection.execute(doors.order_by(Entrance.id)):
            self.entrances.setdefault(house, {}).setdefault(plain(name), (id, name))

    def city(self, given: str) -> int:
        """Raises BadCell: there is none, or there are several."""
        found = self._cities.get(plain(given), set())
        if len(found) > 1:
            raise BadCell('"region, city" or the FIAS id, as several cities have this name')
        if not found:
            raise BadCell("a city that is there (it has to be added before its houses)")
        return next(iter(found))

    def company(self, given: str) -> int:
        """By its name or INN. Raises BadCell."""
        found = self._companies.get(plain(given))
        if found is None:
            raise BadCell("the name or INN of a management company that is there")
        return found

    def street(self, city: int, given: str) -> str:
        """As it is written already, in the database or in the file."""
        return self.streets.setdefault((city, plain(given)), given)

    def by_fias(self, fias: str) -> int | None:
        return self._fias.get(fias.lower())

    def by_own_id(self, own: str) -> int | None:
        return self._own.get(own)

    def by_address(self, city: int, street: str, number: str) -> list[int]:
        return self._addresses.get(_address(city, street, number), [])

    def house(self, cells: Cells) -> tuple[int | None, str, str]:
        """The house of a row: its id, or the column and the text of what is wrong (both "": no house is given)."""
        by_ref = by_address = None
        if ref := cells.get("house"):
            by_ref = self._own.get(str(ref)) or self._fias.get(str(ref).lower())
            there = self._titles.get(plain(str(ref)), []) if by_ref is None else []
            if len(there) > 1:
                several = f"an own id or FIAS id is expected, as several houses are at {shown(str(ref))}"
                return None, "house", several
            by_ref = there[0] if there else by_ref
            if by_ref is None or not self.houses[by_ref].within:
                wrong = (
                    f"the FIAS id, own id or address of a house is expected {_YOURS}, not {shown(str(ref))}"
                )
                return None, "house", wrong
        parts = {name: str(cells[name]) for name in ("city", "street", "number") if name in cells}
        if len(parts) == 3:
            try:
                city = self.city(parts["city"])
            except BadCell as error:
                return None, "city", f"{error} is expected, not {shown(parts['city'])}"
            found = [
                id for id in self.by_address(city, parts["street"], parts["number"]) if self.houses[id].within
            ]
            address = f"{parts['city']}, {parts['street']} {parts['number']}"
            if not found:
                return None, "number", f"the address of a house is expected {_YOURS}, not {shown(address)}"
            if by_ref is not None and by_ref not in found:
                return (
                    None,
                    "house",
                    f"the house at {shown(address)} is expected, and {shown(str(ref))} is another",
                )
            if by_ref is None and len(found) > 1:
                return (
                    None,
                    "house",
                    f"an own id or FIAS id is expected, as several houses are at {shown(address)}",
                )
            by_address = found[0]
        elif parts and by_ref is None:
            missing = next(name for name in ("city", "street", "number") if name not in parts)
            return (
                None,
                missing,
                "city, street and house number are expected, all three, and this one is empty",
            )
        return by_ref or by_address, "", ""

    def entrance(self, house: int, given: str) -> int:
        """Raises BadCell: the house has no such one."""
        doors = self.entrances.get(house, {})
        found = doors.get(plain(given)) or doors.get(plain(entrance_name(given)))
        if found is None:
            there = ", ".join(sorted(name for _, name in doors.values())[:20]) or "none"
            raise BadCell(f"an entrance of this house (there: {there})")
        return found[0]

    def entrances_of(self, house: int, given: Iterable[str]) -> list[int]:
        """Raises BadCell."""
        return list(dict.fromkeys(self.entrance(house, name) for name in given))


_YOURS = "that is there and that you may edit"


def _address(city: int, street: str, number: str) -> tuple[int, str, str]:
    return city, plain(street), plain(number).replace(" ", "")
