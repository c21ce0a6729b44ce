"""Flats of houses that are there: floor, contract, code, and from which entrances each is called by which number."""

from __future__ import annotations

from typing import ClassVar

from crm.imports.book import HOUSE_COLUMNS, Cells
from crm.imports.columns import Column, entrance_names, matching, names, text, whole
from crm.imports.job import ROWS, Counts, Importer, Tables, Target, count_rows, mark_changed, write_rows
from crm.rights import Right

_LINKS = "import_links"
_CODE = "4 to 16 digits"


class Flats(Importer):
    columns = (
        *HOUSE_COLUMNS,
        Column("flat", "Квартира", "Flat", "its number", text(20), required=True, listed=("Номер", "Number")),
        Column("floor", "Этаж", "Floor", "a whole number", whole(-5, 200)),
        Column("entrances", "Подъезды", "Entrances", "from which it is called: 2, ворота", entrance_names),
        Column(
            "panel_number",
            "Номер на панели",
            "Panel number",
            "where it differs; one for all entrances, or one for each of them, in their order",
            names(20),
        ),
        Column("contract", "Договор", "Contract", "its number", text(64)),
        Column(
            "code",
            "Код",
            "Code",
            f"of the flat, which opens its doors: {_CODE}",
            matching("[0-9]{4,16}", _CODE),
            listed=("Свой код", "Code of its own"),
        ),
    )
    right = Right.HOUSING_EDIT
    touched_keys = (
        f"SELECT key_id FROM key_bindings WHERE scope = 'flat' AND ref_id IN (SELECT id FROM {ROWS} WHERE changed)"
        " UNION SELECT key_id FROM key_bindings WHERE scope = 'resident' AND ref_id IN"
        f" (SELECT resident_id FROM resident_flats f JOIN {ROWS} s ON s.id = f.flat_id WHERE s.changed)"
    )
    written = ("flats", "entrance_flats", "key_deliveries")
    tables: ClassVar[Tables] = {
        ROWS: {
            **{"row": "INTEGER", "key": "TEXT", "house_id": "INTEGER", "number": "TEXT", "floor": "INTEGER"},
            **{"contract": "TEXT", "code": "TEXT"},
        },
        _LINKS: {"row": "INTEGER", "entrance_id": "INTEGER", "panel_number": "TEXT"},
    }

    def take(self, row: int, cells: Cells) -> None:
        job = self.job
        house = job.house(row, cells)
        if house is None or "flat" not in cells:
            return
        number = str(cells["flat"])
        key = f"{house}|{number}"
        values = (row, key, house, number, cells.get("floor"), cells.get("contract"), cells.get("code"))
        job.staging.put(ROWS, values)
        doors = job.entrances(row, house, cells)
        told = cells.get("panel_number", ())
        assert isinstance(told, tuple)
        if len(told) > 1 and len(told) != len(doors):
            wrong = (
                f"one number or one for each of {len(doors)} entrances is expected, and there are {len(told)}"
            )
            job.fault(row, "panel_number", wrong)
        elif told and not doors:
            job.fault(
                row,
                "panel_number",
                "the entrances at whose panels it has this number are expected, and none is given",
            )
        for n, door in enumerate(doors):
            job.staging.put(_LINKS, (row, door, told[min(n, len(told) - 1)] if told else None))

    def check(self) -> None:
        self.job.find_twins("flat", "flat of a house", "key", "s.number")
        self.job.staging.run(
            f"UPDATE {ROWS} SET id = t.id FROM flats t"
            f" WHERE t.house_id = {ROWS}.house_id AND t.number = {ROWS}.number"
        )
        self.job.find_faults(
            "panel_number",
            "another number at the panel is expected, as {0} is that of row {1} at the same entrance",
            f"SELECT l.row, l.panel_number, twin.first FROM {_LINKS} l JOIN (SELECT entrance_id, panel_number,"
            f" MIN(row) AS first FROM {_LINKS} WHERE panel_number IS NOT NULL GROUP BY entrance_id, panel_number"
            " HAVING COUNT(*) > 1) twin ON twin.entrance_id = l.entrance_id AND twin.panel_number = l.panel_number"
            " WHERE l.row > twin.first ORDER BY l.row",
        )

    def write(self) -> Counts:
        job = self.job
        targets = (
            Target("house_id"),
            Target("number"),
            Target("floor"),
            Target("contract", "''"),
            Target("code", "''"),
        )
        write_rows(job, "flats", "flat", targets)
        job.on_step(1, 2)
        mark_changed(
            job,
            f"row IN (SELECT l.row FROM {_LINKS} l JOIN {ROWS} s ON s.row = l.row LEFT JOIN entrance_flats t"
            " ON t.flat_id = s.id AND t.entrance_id = l.entrance_id WHERE t.flat_id IS NULL OR"
            " (l.panel_number IS NOT NULL AND l.panel_number IS DISTINCT FROM t.panel_number))",
        )
        job.staging.run(
            "INSERT INTO entrance_flats (flat_id, entrance_id, panel_number)"
            f" SELECT s.id, l.entrance_id, l.panel_number FROM {_LINKS} l JOIN {ROWS} s ON s.row = l.row WHERE TRUE"
            " ON CONFLICT (flat_id, entrance_id) DO UPDATE"
            " SET panel_number = COALESCE(EXCLUDED.panel_number, entrance_flats.panel_number)"
        )
        return count_rows(job)
