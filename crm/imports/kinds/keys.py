"""RFID keys, in any way of writing them, and what each opens. A key is known by its UID.

The format is chosen for the whole file: a list comes from one reader. Chosen as "auto", each key is read in the surest
way, and one that can be read in several is wrong.
"""

from __future__ import annotations

from typing import ClassVar

import sqlalchemy as sa

from crm.imports.book import HOUSE_COLUMNS, Cells
from crm.imports.columns import BadCell, Column, entrance_names, names, one_of, shown, text
from crm.imports.job import (
    ROWS,
    Choice,
    Counts,
    Importer,
    Tables,
    Target,
    count_rows,
    mark_changed,
    write_rows,
)
from crm.keys.formats import KeyFormat
from crm.keys.keys import read_key, technology_of
from crm.keys.reach import seen_within
from crm.rights import Right
from crm.search.index import Indexed
from crm.search.text import key_words
from crm.tables.keys import KeyBinding, KeyScope, Technology
from crm.who import Invalid

_LINKS = "import_links"
AUTO = "auto"
TECHNOLOGIES = {
    **{"em-marin": Technology.EM_MARIN, "em marin": Technology.EM_MARIN, "em": Technology.EM_MARIN},
    **{"mifare classic": Technology.MIFARE, "неизвестно": Technology.UNKNOWN},
}
SCOPES = {
    **{"везде": KeyScope.EVERYWHERE, "ук": KeyScope.COMPANY, "дом": KeyScope.HOUSE},
    **{"подъезд": KeyScope.ENTRANCE, "квартира": KeyScope.FLAT},
}


def _scope(cell: str) -> str:
    read = one_of(KeyScope, SCOPES)(cell)
    if read in (KeyScope.RESIDENT.value, KeyScope.EMPLOYEE.value):
        raise BadCell("one of everywhere, company, house, entrance, flat (везде, УК, дом, подъезд, квартира)")
    return read


class Keys(Importer):
    columns = (
        Column(
            "uid",
            "Ключ",
            "Key",
            "as it was read or printed, in the chosen format",
            text(64),
            required=True,
            listed=("Ключ, в любой записи", "Key, in any way of writing it"),
        ),
        Column(
            "technology",
            "Технология",
            "Technology",
            "em_marin, mifare or unknown",
            one_of(Technology, TECHNOLOGIES),
        ),
        Column(
            "scope",
            "Открывает",
            "Opens",
            "flat, entrance, house, company or everywhere; empty: what is given",
            _scope,
        ),
        *HOUSE_COLUMNS,
        Column("entrances", "Подъезды", "Entrances", "of this house: 2, ворота", entrance_names),
        Column("flats", "Квартиры", "Flats", "of this house: 42, 43", names(20)),
        Column("company", "УК", "Company", "name or INN of a management company", text(255)),
        Column("note", "Заметка", "Note", "for the staff", text(255)),
    )
    right = Right.KEYS_EDIT
    choices = (
        Choice(
            "format", "Формат ключей", "Format of the keys", AUTO, (AUTO, *(each.value for each in KeyFormat))
        ),
    )
    indexed = (Indexed.KEY, ROWS)
    puts_words = True
    touched_keys = f"SELECT id FROM {ROWS} WHERE is_new OR changed"
    written = ("keys", "key_bindings", "search_words", "key_deliveries")
    tables: ClassVar[Tables] = {
        ROWS: dict.fromkeys(("row", "key", "uid", "technology", "given", "format", "note"), "TEXT")
        | {"row": "INTEGER"},
        _LINKS: {"row": "INTEGER", "scope": "TEXT", "house_id": "INTEGER", "number": "TEXT", "id": "INTEGER"},
    }

    def take(self, row: int, cells: Cells) -> None:
        job = self.job
        if "uid" in cells:
            chosen, given = job.choices["format"], str(cells["uid"])
            if job.headings.from_list:
                chosen = KeyFormat.HEX.value  # as lists have them
            try:
                reading = read_key(given, None if chosen == AUTO else KeyFormat(chosen))
            except Invalid as error:
                wrong = f"a key written as {chosen} is expected"
                job.fault(row, "uid", f"{wrong}, not {shown(given)}: {error.errors.get('uid', error)}")
            else:
                technology = str(cells.get("technology") or technology_of(reading).value)
                uid, note = reading.uid, cells.get("note")
                job.staging.put(ROWS, (row, uid, uid, technology, given, reading.format.value, note))
                job.put_words(row, key_words(uid))
        self._take_bindings(row, cells)

    def _take_bindings(self, row: int, cells: Cells) -> None:
        job, put = self.job, self.job.staging.put
        order = (KeyScope.FLAT, KeyScope.ENTRANCE, KeyScope.HOUSE, KeyScope.COMPANY)
        columns = ("flats", "entrances", "house", "company")
        given = next((scope for scope, name in zip(order, columns, strict=True) if name in cells), None)
        if given in (None, KeyScope.COMPANY) and "number" in cells:
            given = KeyScope.HOUSE
        scope = KeyScope(cells["scope"]) if "scope" in cells else given
        house = None
        if scope in (KeyScope.FLAT, KeyScope.ENTRANCE, KeyScope.HOUSE):
            house = job.house(row, cells)
            if house is None:
                return
        match scope:
            case KeyScope.FLAT:
                flats = cells.get("flats", ())
                assert isinstance(flats, tuple)
                if not flats:
                    job.fault(row, "flats", "the flats that it opens are expected, and none is given")
                for flat in flats:
                    put(_LINKS, (row, scope.value, house, flat, None))
            case KeyScope.ENTRANCE:
                assert house is not None
                if "entrances" not in cells:
                    job.fault(row, "entrances", "the entrances that it opens are expected, and none is given")
                for door in job.entrances(row, house, cells):
                    put(_LINKS, (row, scope.value, house, None, door))
            case KeyScope.HOUSE:
                put(_LINKS, (row, scope.value, house, None, house))
            case KeyScope.COMPANY:
                self._take_company(row, str(cells.get("company", "")))
            case KeyScope.EVERYWHERE if not job.reach.everywhere:
                job.fault(row, "scope", "what you may edit is expected, and everywhere is more than that")
            case KeyScope.EVERYWHERE:
                put(_LINKS, (row, scope.value, None, None, 0))
            case _:
                pass

    def _take_company(self, row: int, given: str) -> None:
        job = self.job
        try:
            company = job.book.company(given)
            if not job.reach.everywhere and company not in job.reach.companies:
                raise BadCell("a management company whose keys you may edit")
        except BadCell as error:
            job.expected(row, "company", error, given)
        else:
            job.staging.put(_LINKS, (row, KeyScope.COMPANY.value, None, None, company))

    def check(self) -> None:
        job, run = self.job, self.job.staging.run
        job.find_twins("uid", "key", "uid", "s.given")
        run(f"UPDATE {ROWS} SET id = t.id FROM keys t WHERE t.uid = {ROWS}.uid")
        run(
            f"UPDATE {_LINKS} SET id = t.id FROM flats t WHERE {_LINKS}.scope = '{KeyScope.FLAT.value}'"
            f" AND t.house_id = {_LINKS}.house_id AND t.number = {_LINKS}.number"
        )
        job.find_faults(
            "flats",
            "a flat that is there is expected, and the house has no {0}",
            f"SELECT row, number FROM {_LINKS} WHERE id IS NULL ORDER BY row",
        )
        job.find_faults(
            "uid",
            "what it opens is expected too for the new key {0}: flats, entrances, a house, a company, or everywhere",
            f"SELECT row, given FROM {ROWS} s WHERE id IS NULL"
            f" AND NOT EXISTS (SELECT 1 FROM {_LINKS} l WHERE l.row = s.row) ORDER BY row",
        )
        job.find_faults(
            "uid",
            "a key that is not lost is expected, and {0} is: say first that it was found",
            f"SELECT s.row, s.given FROM {ROWS} s JOIN keys t ON t.id = s.id WHERE t.lost_at IS NOT NULL"
            f" AND EXISTS (SELECT 1 FROM {_LINKS} l WHERE l.row = s.row) ORDER BY s.row",
        )
        if job.reach.everywhere:
            return
        rows = sa.table(ROWS, *(sa.column(name) for name in ("row", "id", "given")))
        seen = sa.exists().where(KeyBinding.key_id == rows.c.id, seen_within(job.reach))
        beyond = sa.select(rows.c.row, rows.c.given).where(rows.c.id.is_not(None), ~seen).order_by(rows.c.row)
        wrong = "a key of houses that you may edit is expected, and {0} lies beyond them"
        job.find_faults("uid", wrong, beyond)

    def write(self) -> Counts:
        job = self.job
        # How a known key was written when it came in stays as it is.
        job.staging.run(f"UPDATE {ROWS} SET given = NULL, format = NULL WHERE id IS NOT NULL")
        if "technology" not in job.headings.shown:
            job.staging.run(f"UPDATE {ROWS} SET technology = NULL WHERE id IS NOT NULL")
        targets = [Target(name) for name in ("uid", "technology", "given", "format")] + [Target("note", "''")]
        extra = {"created_at": ":now", "lost_why": "''", "seen_by": "''"}
        write_rows(job, "keys", "key", targets, extra=extra)
        job.on_step(1, 2)
        links = f"{_LINKS} l JOIN {ROWS} s ON s.row = l.row"
        mark_changed(
            job,
            f"row IN (SELECT l.row FROM {links} LEFT JOIN key_bindings t ON t.key_id = s.id AND t.scope = l.scope"
            " AND t.ref_id = l.id WHERE t.key_id IS NULL)",
        )
        job.staging.run(
            f"INSERT INTO key_bindings (key_id, scope, ref_id) SELECT s.id, l.scope, l.id FROM {links} WHERE TRUE"
            " ON CONFLICT DO NOTHING"
        )
        return count_rows(job)
