"""Residents' SIP accounts, with the residents themselves and the flats for which each rings.

A password comes in and goes no further: what is kept is HA1. A resident is the one of the account that is there, or else
who has this phone number, or a new one.
"""

from __future__ import annotations

import hashlib
from typing import ClassVar

from crm.imports.book import HOUSE_COLUMNS, Cells
from crm.imports.columns import Column, ha1, matching, names, one_of, phone, text, yes_no
from crm.imports.job import (
    ROWS,
    Choice,
    Counts,
    Importer,
    Job,
    Tables,
    Target,
    count_rows,
    mark_changed,
    stage_reach,
    write_rows,
)
from crm.model import Role
from crm.rights import Right
from crm.search.index import Indexed
from crm.search.text import resident_words

_LINKS, _PEOPLE = "import_links", "import_people"
ROLES = {
    **{"собственник": Role.OWNER, "владелец": Role.OWNER, "жилец": Role.RESIDENT},
    **{"житель": Role.RESIDENT, "проживающий": Role.RESIDENT},
}
sip_user = matching("[A-Za-z0-9_.+-]{1,64}", "a SIP user of letters, digits, _ . + and -, at most 64")
domain = matching("[A-Za-z0-9.-]{1,255}", "a SIP domain, as teledom or sip.example.org")
DOMAIN = Choice("domain", "Домен, где он не указан", "Domain, where none is given", "teledom")


def make_ha1(job: Job, row: int, cells: Cells, user: str, domain: str) -> str | None:
    """HA1 of what the row has: MD5(user:domain:password), RFC 2617, or as it is given; both have to agree."""
    given = cells.get("ha1")
    password = cells.get("password")
    if password is None:
        return None if given is None else str(given)
    made = hashlib.md5(f"{user}:{domain}:{password}".encode(), usedforsecurity=False).hexdigest()
    if given is not None and given != made:
        job.fault(row, "ha1", "the HA1 of this password is expected, or only one of the two")
    return made


class Accounts(Importer):
    columns = (
        Column("sip_user", "SIP-логин", "SIP user", "the account's name", sip_user, required=True),
        Column(
            "domain",
            "Домен",
            "Domain",
            "of the account; empty: the one chosen for the file",
            domain,
            listed=("SIP-домен", "SIP domain"),
        ),
        Column(
            "password",
            "Пароль",
            "Password",
            "or HA1; a new account needs one of them",
            text(128),
            secret=True,
        ),
        Column("ha1", "HA1", "SIP HA1", "MD5(user:domain:password)", ha1, secret=True),
        Column("name", "Житель", "Resident", "the holder's name", text(255), listed=("Жилец",)),
        Column("phone", "Телефон", "Phone", "the holder's: +73512000001; one number is one resident", phone),
        *HOUSE_COLUMNS,
        Column("flats", "Квартиры", "Flats", "numbers of flats in this house: 42, 43", names(20)),
        Column("role", "Роль", "Role", "owner or resident (собственник, жилец)", one_of(Role, ROLES)),
        Column("rings", "Звонит", "Rings", "whether it rings for these flats: yes or no", yes_no),
    )
    right = Right.PEOPLE_EDIT
    choices = (DOMAIN,)
    indexed = (Indexed.RESIDENT, _PEOPLE)
    puts_words = True
    touched_keys = (
        f"SELECT key_id FROM key_bindings WHERE scope = 'resident' AND ref_id IN"
        f" (SELECT resident_id FROM {ROWS} WHERE is_new OR changed)"
    )
    written = ("residents", "accounts", "account_flats", "resident_flats", "search_words", "key_deliveries")
    tables: ClassVar[Tables] = {
        ROWS: {
            **{"row": "INTEGER", "key": "TEXT", "sip_user": "TEXT", "domain": "TEXT", "ha1": "TEXT"},
            **{"name": "TEXT", "phone": "TEXT", "resident_id": "INTEGER", "person": "TEXT"},
        },
        _LINKS: {
            "row": "INTEGER",
            "house_id": "INTEGER",
            "number": "TEXT",
            "role": "TEXT",
            "rings": "BOOLEAN",
        },
        _PEOPLE: {"row": "INTEGER", "person": "TEXT", "name": "TEXT", "phone": "TEXT", "id": "INTEGER"},
    }

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        if not job.reach.everywhere:
            stage_reach(job)

    def take(self, row: int, cells: Cells) -> None:
        job = self.job
        flats = cells.get("flats", ())
        assert isinstance(flats, tuple)
        house = job.house(row, cells, needed=bool(flats))
        if house is not None and not flats:
            job.fault(row, "flats", "flats of this house are expected, and none is given")
        if "sip_user" not in cells:
            return
        user, domain = str(cells["sip_user"]), str(cells.get("domain") or job.choices["domain"])
        made = make_ha1(job, row, cells, user, domain)
        name, phone, key = cells.get("name"), cells.get("phone"), f"{user}@{domain}"
        job.staging.put(ROWS, (row, key, user, domain, made, name, phone, None, None))
        job.put_words(row, resident_words(str(name or phone or ""), str(phone or "")))
        if house is not None:
            role, rings = cells.get("role"), cells.get("rings")
            for flat in flats:
                job.staging.put(_LINKS, (row, house, flat, role, rings))

    def check(self) -> None:
        job, run = self.job, self.job.staging.run
        job.find_twins("sip_user", "account", "key", "s.key")
        run(
            f"UPDATE {ROWS} SET id = t.id, resident_id = t.resident_id FROM accounts t"
            f" WHERE t.sip_user = {ROWS}.sip_user AND t.domain = {ROWS}.domain"
        )
        run(
            f"UPDATE {_LINKS} SET id = t.id FROM flats t"
            f" WHERE t.house_id = {_LINKS}.house_id AND t.number = {_LINKS}.number"
        )
        job.find_faults(
            "password" if "password" in job.headings.shown or "ha1" not in job.headings.shown else "ha1",
            "a password or HA1 is expected for the new account {0}, and there is none",
            f"SELECT row, key FROM {ROWS} WHERE id IS NULL AND ha1 IS NULL ORDER BY row",
        )
        job.find_faults(
            "flats",
            "a flat that is there is expected, and the house has no {0}",
            f"SELECT row, number FROM {_LINKS} WHERE id IS NULL ORDER BY row",
        )
        if job.reach.everywhere:
            return
        job.find_faults(
            "flats",
            "flats are expected, as you may only edit residents of some houses",
            f"SELECT row FROM {ROWS} s WHERE id IS NULL AND NOT EXISTS"
            f" (SELECT 1 FROM {_LINKS} l WHERE l.row = s.row) ORDER BY row",
        )
        job.find_faults(
            "sip_user",
            "an account of houses that you may edit is expected, and {0} lies beyond them",
            f"SELECT row, key FROM {ROWS} s WHERE s.id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM account_flats a"
            " JOIN flats f ON f.id = a.flat_id JOIN import_reach w ON w.house_id = f.house_id"
            " WHERE a.account_id = s.id) ORDER BY row",
        )
        job.find_faults(
            "password" if "password" in job.headings.shown else "ha1",
            "account {0} has flats beyond your houses: its password is set by who may edit all of them",
            f"SELECT s.row, s.key FROM {ROWS} s JOIN accounts t ON t.id = s.id"
            " JOIN account_flats a ON a.account_id = s.id JOIN flats f ON f.id = a.flat_id"
            " LEFT JOIN import_reach w ON w.house_id = f.house_id WHERE s.ha1 <> t.ha1"
            " GROUP BY s.row, s.key HAVING COUNT(w.house_id) BETWEEN 1 AND COUNT(f.id) - 1 ORDER BY s.row",
        )

    def prepare(self) -> None:
        self._find_residents()

    def write(self) -> Counts:
        job = self.job
        job.on_step(1, 5)
        people = (Target("name", "COALESCE(s.phone, '')"), Target("phone", "''"))
        write_rows(job, "residents", "resident", people, staged=_PEOPLE, extra={"email": "''", "note": "''"})
        job.staging.run(
            f"UPDATE {ROWS} SET resident_id = p.id FROM {_PEOPLE} p WHERE p.person = {ROWS}.person"
        )
        job.on_step(2, 5)
        targets = (Target("sip_user"), Target("domain"), Target("ha1", secret=True), Target("resident_id"))
        write_rows(job, "accounts", "account", targets)
        mark_changed(job, f"person IN (SELECT person FROM {_PEOPLE} WHERE changed)")
        job.on_step(3, 5)
        self._link("account_flats", "account_id", "s.id", rings=True)
        job.on_step(4, 5)
        self._link("resident_flats", "resident_id", "s.resident_id", rings=False)
        return count_rows(job)

    def _find_residents(self) -> None:
        """Which resident each row is about: rows of one share `person`, the first of them stands for it."""
        run = self.job.staging.run
        within = (
            ""
            if self.job.reach.everywhere
            else " AND EXISTS (SELECT 1 FROM resident_flats a JOIN flats f ON f.id = a.flat_id"
            " JOIN import_reach w ON w.house_id = f.house_id WHERE a.resident_id = residents.id)"
        )
        run(
            f"UPDATE {ROWS} SET resident_id = (SELECT MIN(id) FROM residents"
            f" WHERE residents.phone = {ROWS}.phone{within})"
            " WHERE resident_id IS NULL AND phone IS NOT NULL"
        )
        run(
            f"UPDATE {ROWS} SET person = CASE WHEN resident_id IS NOT NULL THEN 'r' || resident_id"
            " WHEN phone IS NOT NULL THEN 'p' || phone WHEN name IS NOT NULL THEN 'n' || row END"
        )
        run(
            f"INSERT INTO {_PEOPLE} (row, person, name, phone, id) SELECT s.row, s.person, s.name, s.phone,"
            f" s.resident_id FROM {ROWS} s JOIN (SELECT MIN(row) AS row FROM {ROWS} WHERE person IS NOT NULL"
            " AND (name IS NOT NULL OR phone IS NOT NULL) GROUP BY person) first ON first.row = s.row ORDER BY s.row"
        )

    def _link(self, target: str, of: str, id: str, *, rings: bool) -> None:
        """Join the flats of each row to its account, or to its resident."""
        job, run = self.job, self.job.staging.run
        links = f"{_LINKS} l JOIN {ROWS} s ON s.row = l.row"
        differs = "(l.role IS NOT NULL AND l.role <> t.role)"
        if rings:
            differs += " OR (l.rings IS NOT NULL AND l.rings <> t.rings)"
        mark_changed(
            job,
            f"row IN (SELECT l.row FROM {links} LEFT JOIN {target} t ON t.flat_id = l.id AND t.{of} = {id}"
            f" WHERE {id} IS NOT NULL AND (t.flat_id IS NULL OR {differs}))",
        )
        settings = f"role = COALESCE(l.role, {target}.role)"
        if rings:
            settings += f", rings = COALESCE(l.rings, {target}.rings)"
        run(
            f"UPDATE {target} SET {settings} FROM (SELECT l.id, l.role, l.rings, {id} AS holder FROM {links}) l"
            f" WHERE l.id = {target}.flat_id AND l.holder = {target}.{of}"
        )
        names, values = f"flat_id, {of}, role", f"l.id, {id}, COALESCE(l.role, '{Role.RESIDENT.value}')"
        if rings:
            names, values = f"{names}, rings", f"{values}, COALESCE(l.rings, TRUE)"
        run(
            f"INSERT INTO {target} ({names}) SELECT {values} FROM {links} WHERE {id} IS NOT NULL"
            f" ON CONFLICT (flat_id, {of}) DO NOTHING"
        )
