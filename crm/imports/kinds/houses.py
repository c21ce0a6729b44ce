"""Houses, with their streets, entrances and, by ranges, their flats.

A house is known by its FIAS id, its own id or its address, whichever finds one; where they find two, the row is wrong.
"""

from __future__ import annotations

from typing import ClassVar

from attrs import evolve

from crm.housing.plan import PlannedDoor, plan, read_doors
from crm.imports.book import HOUSE_COLUMNS, Cells
from crm.imports.columns import (
    BadCell,
    Column,
    degrees,
    entrance_names,
    guid,
    plain,
    text,
    time_zone,
)
from crm.imports.job import ROWS, Counts, Importer, Tables, Target, count_rows, mark_changed, write_rows
from crm.rights import Right
from crm.search.index import Indexed

_RANGES = "ranges of flats by entrance as 1: 1-36; 2: 37-72, with floors as 1: 1-36 (9) or 1: 1-32 (2-9)"


def parse_ranges(cell: str) -> tuple[PlannedDoor, ...]:
    """Entrances with their flats, as they are typed for a new house. Raises BadCell."""
    planned = plan(read_doors(cell))
    if planned.faults or not planned.flats:
        raise BadCell(_RANGES)
    return planned.doors


def _ranges(cell: str) -> str:
    parse_ranges(cell)
    return cell


_COMPANY = ("Компания", "Company")
_LISTED = {"number": ("Номер", "Number")}
_CITY, _STREET, _NUMBER = (
    evolve(each, required=True, listed=_LISTED.get(each.name, ())) for each in HOUSE_COLUMNS[1:]
)


class Houses(Importer):
    columns = (
        _CITY,
        _STREET,
        _NUMBER,
        Column("fias", "ФИАС", "FIAS", "the house's GUID", guid, listed=("Код ФИАС", "FIAS id")),
        Column("own_id", "Свой код", "Own id", "the operator's id of the house", text(64)),
        Column("lat", "Широта", "Latitude", "degrees: 55.1599", degrees(90)),
        Column("lon", "Долгота", "Longitude", "degrees: 61.4026", degrees(180)),
        Column("time_zone", "Часовой пояс", "Time zone", "Asia/Yekaterinburg; empty: the city's", time_zone),
        Column(
            "company", "УК", "Company", "name or INN of its management company", text(255), listed=_COMPANY
        ),
        Column("entrances", "Подъезды", "Entrances", "1-4, or names: 1, 2, арка", entrance_names),
        Column("flats", "Квартиры", "Flats", "by entrance, with floors: 1: 1-36 (9); 2: 37-72 (9)", _ranges),
    )
    right = Right.HOUSING_EDIT
    indexed = (Indexed.HOUSE, ROWS)
    touched_keys = (
        f"SELECT key_id FROM key_bindings WHERE scope = 'house' AND ref_id IN (SELECT id FROM {ROWS} WHERE changed)"
        f" UNION SELECT key_id FROM key_bindings WHERE scope = 'company' AND ref_id IN (SELECT company_id FROM {ROWS})"
        " UNION SELECT key_id FROM key_bindings WHERE scope = 'flat' AND ref_id IN"
        f" (SELECT f.id FROM flats f JOIN {ROWS} s ON s.id = f.house_id WHERE s.changed)"
    )
    written = (
        "streets",
        "houses",
        "entrances",
        "house_entrances",
        "flats",
        "entrance_flats",
        "search_words",
        "key_deliveries",
    )
    tables: ClassVar[Tables] = {
        ROWS: {
            **{"row": "INTEGER", "key": "TEXT", "id": "INTEGER", "city_id": "INTEGER", "street": "TEXT"},
            **{"number": "TEXT", "fias": "TEXT", "own_id": "TEXT", "lat": "DOUBLE PRECISION"},
            **{
                "lon": "DOUBLE PRECISION",
                "time_zone": "TEXT",
                "company_id": "INTEGER",
                "street_id": "INTEGER",
            },
        },
        "import_doors": {"row": "INTEGER", "name": "TEXT", "id": "INTEGER"},
        "import_flats": {"row": "INTEGER", "door": "TEXT", "number": "TEXT", "floor": "INTEGER"},
    }

    def take(self, row: int, cells: Cells) -> None:
        job, book = self.job, self.job.book
        city = company = None
        if "city" in cells:
            try:
                city = book.city(str(cells["city"]))
            except BadCell as error:
                job.expected(row, "city", error, str(cells["city"]))
        if "company" in cells:
            try:
                company = book.company(str(cells["company"]))
            except BadCell as error:
                job.expected(row, "company", error, str(cells["company"]))
        if city is None or "street" not in cells or "number" not in cells:
            return
        street, number = book.street(city, str(cells["street"])), str(cells["number"])
        house = self._find(row, cells, city, street, number)
        if not self._within(house, city, company):
            job.fault(row, "", "a house within what you may edit is expected, and this one lies beyond it")
            return
        fias, own, lat, lon, zone = map(cells.get, ("fias", "own_id", "lat", "lon", "time_zone"))
        key = f"{city}|{plain(street)}|{plain(number).replace(' ', '')}"
        values = (row, key, house, city, street, number, fias, own, lat, lon, zone, company, None)
        job.staging.put(ROWS, values)
        self._take_doors(row, house, cells)

    def _find(self, row: int, cells: Cells, city: int, street: str, number: str) -> int | None:
        """The house that this row is about; None: a new one."""
        book = self.job.book
        by_fias = book.by_fias(str(cells["fias"])) if "fias" in cells else None
        by_own = book.by_own_id(str(cells["own_id"])) if "own_id" in cells else None
        there = book.by_address(city, street, number)
        if by_fias and by_own and by_fias != by_own:
            self.job.fault(row, "own_id", "one house is expected, and the FIAS id is that of another one")
        found = by_fias or by_own
        if found is None and len(there) > 1:
            self.job.fault(
                row, "number", "a FIAS id or own id is expected too, as several houses have this address"
            )
        elif found is not None and there and found not in there:
            column = "fias" if by_fias else "own_id"
            self.job.fault(row, column, "one house is expected, and the address is that of another one")
        return found or (there[0] if there else None)

    def _within(self, house: int | None, city: int, company: int | None) -> bool:
        """Whether who runs this may edit the house, as it is and as it will be."""
        reach = self.job.book.reach
        known = self.job.book.houses[house] if house else None
        if known is not None and not known.within:
            return False
        owner = company or (known.company if known else None)
        return reach.everywhere or city in reach.cities or owner in reach.companies or house in reach.houses

    def _take_doors(self, row: int, house: int | None, cells: Cells) -> None:
        known = self.job.book.entrances.get(house, {}) if house else {}
        given = cells.get("entrances", ())
        ranges = parse_ranges(str(cells["flats"])) if "flats" in cells else ()
        assert isinstance(given, tuple)
        doors: dict[str, str] = {}
        for name in [*given, *(each.name for each in ranges)]:
            if plain(name) not in doors:
                id, doors[plain(name)] = known.get(plain(name), (None, name))
                self.job.staging.put("import_doors", (row, doors[plain(name)], id))
        for each in ranges:
            for flat in each.flats:
                self.job.staging.put("import_flats", (row, doors[plain(each.name)], flat.number, flat.floor))

    def check(self) -> None:
        self.job.find_twins("number", "house", "key", "s.number")
        self.job.find_twins("fias", "house", "fias", "s.fias")
        self.job.find_twins("own_id", "house", "own_id", "s.own_id")

    def write(self) -> Counts:
        job, run = self.job, self.job.staging.run
        run(
            f"INSERT INTO streets (city_id, name) SELECT DISTINCT city_id, street FROM {ROWS} WHERE TRUE"
            " ON CONFLICT (city_id, name) DO NOTHING"
        )
        run(
            f"UPDATE {ROWS} SET street_id = t.id FROM streets t"
            f" WHERE t.city_id = {ROWS}.city_id AND t.name = {ROWS}.street"
        )
        job.on_step(1, 4)
        names = ("city_id", "street", "number", "fias", "own_id", "lat", "lon")
        targets = [Target(name) for name in (*names, "time_zone", "company_id", "street_id")]
        write_rows(job, "houses", "house", targets)
        job.on_step(2, 4)
        job.staging.give_ids("import_doors", "entrances")
        run("INSERT INTO entrances (id, name) SELECT id, name FROM import_doors WHERE is_new")
        run(
            "INSERT INTO house_entrances (entrance_id, house_id, prefix) SELECT d.id, s.id, '' FROM import_doors d"
            f" JOIN {ROWS} s ON s.row = d.row WHERE d.is_new"
        )
        mark_changed(job, "row IN (SELECT row FROM import_doors WHERE is_new)")
        mark_changed(
            job,
            f"row IN (SELECT f.row FROM import_flats f JOIN {ROWS} s ON s.row = f.row LEFT JOIN flats t"
            " ON t.house_id = s.id AND t.number = f.number"
            " WHERE t.id IS NULL OR (f.floor IS NOT NULL AND f.floor IS DISTINCT FROM t.floor))",
        )
        run(
            "INSERT INTO flats (house_id, number, floor, contract, code)"
            f" SELECT s.id, f.number, MIN(f.floor), '', '' FROM import_flats f JOIN {ROWS} s ON s.row = f.row"
            " WHERE TRUE GROUP BY s.id, f.number"
            " ON CONFLICT (house_id, number) DO UPDATE SET floor = COALESCE(EXCLUDED.floor, flats.floor)"
        )
        job.on_step(3, 4)
        run(
            "INSERT INTO entrance_flats (flat_id, entrance_id) SELECT t.id, d.id FROM import_flats f"
            f" JOIN {ROWS} s ON s.row = f.row JOIN flats t ON t.house_id = s.id AND t.number = f.number"
            " JOIN import_doors d ON d.row = f.row AND d.name = f.door WHERE TRUE"
            " ON CONFLICT (flat_id, entrance_id) DO NOTHING"
        )
        return count_rows(job)
