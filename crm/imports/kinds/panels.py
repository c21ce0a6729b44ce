"""Panels: what they are, how they sign in at SIP and are reached over HTTP, and which entrances they serve.

A panel is known by its MAC. Of its SIP password only HA1 is kept; its HTTP password is sealed (crm.sealed).
"""

from __future__ import annotations

from typing import ClassVar

from config import SECRET_KEY
from crm.companies.code_panels import sync_codes
from crm.devices.access import is_own, same_host
from crm.imports.book import HOUSE_COLUMNS, Cells
from crm.imports.columns import Column, entrance_names, ha1, http_url, mac, matching, one_of, text
from crm.imports.job import (
    ROWS,
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
from crm.imports.kinds.accounts import DOMAIN, domain, make_ha1, sip_user
from crm.keys.panels import sync_panels
from crm.model import Dialling, Vendor
from crm.rights import Right
from crm.sealed import SealError

_LINKS = "import_links"
DIALLING = {
    **{"квартира": Dialling.FLAT, "flat number": Dialling.FLAT, "префикс": Dialling.PREFIX_FLAT},
    **{"prefix": Dialling.PREFIX_FLAT, "записанный": Dialling.STORED},
}
_DIGITS = matching("[0-9*#A-D]{1,16}", "digits, * or #, each of which opens the door")


class Panels(Importer):
    columns = (
        Column("mac", "MAC", "MAC address", "in any way of writing it", mac, required=True),
        Column("sip_user", "SIP-логин", "SIP user", "a new panel needs one", sip_user),
        Column(
            "domain",
            "Домен",
            "Domain",
            "its SIP domain; empty: the one chosen for the file",
            domain,
            listed=("SIP-домен", "SIP domain"),
        ),
        Column(
            "password",
            "Пароль SIP",
            "SIP password",
            "or HA1; a new panel needs one of them",
            text(128),
            secret=True,
        ),
        Column("ha1", "HA1", "SIP HA1", "MD5(user:domain:password)", ha1, secret=True),
        Column("vendor", "Производитель", "Vendor", "beward, hikvision, qtech or sokol", one_of(Vendor, {})),
        Column("model", "Модель", "Model", "as the vendor calls it", text(64)),
        Column("firmware", "Прошивка", "Firmware", "its version", text(64)),
        Column("url", "Адрес HTTP", "URL", "http://10.0.0.5", http_url, listed=("Веб-адрес", "Web address")),
        Column(
            "http_user",
            "HTTP-логин",
            "HTTP user",
            "of its HTTP interface",
            text(64),
            listed=("Логин веб-интерфейса", "Web user"),
        ),
        Column("http_password", "HTTP-пароль", "HTTP password", "sealed at once", text(128), secret=True),
        *HOUSE_COLUMNS,
        Column(
            "entrances",
            "Подъезды",
            "Entrances",
            "of this house, which it serves: 2, or ворота",
            entrance_names,
        ),
        Column(
            "dialling",
            "Набор",
            "Dialling",
            "flat, prefix_flat or stored",
            one_of(Dialling, DIALLING),
            listed=("Что набирает", "Dials"),
        ),
        Column(
            "door_dtmf",
            "Цифры двери",
            "Door digits",
            "each of them opens its door: 5",
            _DIGITS,
            listed=("Цифры, открывающие дверь", "Digits that open its door"),
        ),
    )
    right = Right.DEVICES_EDIT
    choices = (DOMAIN,)
    written = ("domophones", "domophone_entrances", "key_deliveries", "code_deliveries")
    tables: ClassVar[Tables] = {
        ROWS: dict.fromkeys(
            (
                *(
                    "row",
                    "key",
                    "mac",
                    "sip_user",
                    "domain",
                    "ha1",
                    "vendor",
                    "model",
                    "firmware",
                    "url",
                    "http_user",
                ),
                *("http_password", "dialling", "door_dtmf"),
            ),
            "TEXT",
        )
        | {"row": "INTEGER"},
        _LINKS: {"row": "INTEGER", "entrance_id": "INTEGER"},
    }

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        if not job.reach.everywhere:
            stage_reach(job)

    def take(self, row: int, cells: Cells) -> None:
        job = self.job
        given = cells.get("entrances")
        house = job.house(row, cells, needed=bool(given))
        if house is not None and not given:
            job.fault(row, "entrances", "entrances of this house are expected, and none is given")
        if "mac" not in cells:
            return
        if is_own(str(cells.get("url", ""))) and not job.reach.everywhere:  # as in crm.sections.reached
            job.fault(row, "url", "the address of a panel is expected, and this is the server's own")
        user, domain = cells.get("sip_user"), cells.get("domain")
        made = None
        if "password" in cells or "ha1" in cells:
            if user is None:
                job.fault(
                    row, "sip_user", "the SIP user whose password this is is expected, and this is empty"
                )
            domain = domain or job.choices["domain"]
            made = make_ha1(job, row, cells, str(user), str(domain))
        sealed = self._seal(row, str(cells.get("http_password", "")))
        others = map(cells.get, ("vendor", "model", "firmware", "url", "http_user"))
        last = (sealed or None, cells.get("dialling"), cells.get("door_dtmf"))
        job.staging.put(ROWS, (row, cells["mac"], cells["mac"], user, domain, made, *others, *last))
        if house is not None:
            for door in job.entrances(row, house, cells):
                job.staging.put(_LINKS, (row, door))

    def _seal(self, row: int, password: str) -> str:
        try:
            return self.job.seal(password) if password else ""
        except SealError:
            wrong = (
                f"{SECRET_KEY} has to be set, or the password cannot be sealed: set it, or leave this empty"
            )
            self.job.fault(row, "http_password", wrong)
            return ""

    def check(self) -> None:
        job, run = self.job, self.job.staging.run
        job.find_twins("mac", "panel", "mac", "s.mac")
        job.find_twins("sip_user", "SIP user", "sip_user", "s.sip_user")
        run(f"UPDATE {ROWS} SET id = t.id FROM domophones t WHERE t.mac = {ROWS}.mac")
        for column, what in (
            ("sip_user", "a SIP user"),
            ("ha1", "a password or HA1"),
            ("vendor", "a vendor"),
        ):
            also = " AND sip_user IS NOT NULL" if column == "ha1" else ""
            job.find_faults(
                "password" if column == "ha1" and "password" in job.headings.shown else column,
                f"{what} is expected for the new panel {{0}}, and there is none",
                f"SELECT row, mac FROM {ROWS} WHERE id IS NULL AND {column} IS NULL{also} ORDER BY row",
            )
        job.find_faults(
            "sip_user",
            "a SIP user that no other panel has is expected, and {0} is taken",
            f"SELECT s.row, s.sip_user FROM {ROWS} s JOIN domophones t ON t.sip_user = s.sip_user"
            " WHERE s.id IS NULL OR s.id <> t.id ORDER BY s.row",
        )
        job.find_faults(
            "sip_user",
            "a password or HA1 is expected too, as {0} takes another SIP user or domain, and HA1 hangs on both",
            f"SELECT s.row, s.mac FROM {ROWS} s JOIN domophones t ON t.id = s.id WHERE s.ha1 IS NULL AND"
            " ((s.sip_user IS NOT NULL AND s.sip_user <> t.sip_user)"
            " OR (s.domain IS NOT NULL AND s.domain <> t.domain)) ORDER BY s.row",
        )
        self._check_passwords()
        if job.reach.everywhere:
            return
        job.find_faults(
            "entrances",
            "entrances are expected, as you may only edit panels of some houses",
            f"SELECT row FROM {ROWS} s WHERE id IS NULL AND NOT EXISTS"
            f" (SELECT 1 FROM {_LINKS} l WHERE l.row = s.row) ORDER BY row",
        )
        job.find_faults(
            "mac",
            "a panel of houses that you may edit is expected, and {0} lies beyond them",
            f"SELECT row, mac FROM {ROWS} s WHERE s.id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM"
            " domophone_entrances d JOIN house_entrances h ON h.entrance_id = d.entrance_id"
            " JOIN import_reach w ON w.house_id = h.house_id WHERE d.domophone_id = s.id) ORDER BY row",
        )

    def _check_passwords(self) -> None:
        """A password that was given for an address stays with its host, as in crm.sections.reached."""
        found = self.job.staging.run(
            f"SELECT s.row, s.url, t.url FROM {ROWS} s JOIN domophones t ON t.id = s.id WHERE s.url <> t.url"
            " AND s.http_password IS NULL AND t.http_password <> '' ORDER BY s.row"
        ).all()
        for row, now, before in map(tuple, found):
            if row not in self.job.wrong and not same_host(before, now):
                text = "the password is expected again, as the one that is kept was given for another address"
                self.job.fault(row, "http_password", text)

    def write(self) -> Counts:
        job, run = self.job, self.job.staging.run
        run(
            f"UPDATE {ROWS} SET domain = :domain WHERE id IS NULL AND domain IS NULL",
            domain=job.choices["domain"],
        )
        targets = [
            *(
                Target("mac"),
                Target("sip_user"),
                Target("domain"),
                Target("ha1", secret=True),
                Target("vendor"),
            ),
            *(Target(name, "''") for name in ("model", "firmware", "url", "http_user")),
            Target("http_password", "''", secret=True),
            Target("dialling", f"'{Dialling.FLAT.value}'"),
            Target("door_dtmf", "'5'"),
        ]
        extra = {"active": "TRUE", "place": "''", "note": "''"}
        run(  # the certificate was that of another address
            f"UPDATE domophones SET tls_pin = NULL WHERE id IN (SELECT s.id FROM {ROWS} s JOIN domophones t"
            " ON t.id = s.id WHERE s.url IS NOT NULL AND s.url <> t.url)"
        )
        write_rows(job, "domophones", "domophone", targets, extra=extra)
        job.on_step(1, 2)
        mark_changed(
            job,
            f"row IN (SELECT l.row FROM {_LINKS} l JOIN {ROWS} s ON s.row = l.row LEFT JOIN domophone_entrances t"
            " ON t.domophone_id = s.id AND t.entrance_id = l.entrance_id WHERE t.entrance_id IS NULL)",
        )
        run(
            "INSERT INTO domophone_entrances (domophone_id, entrance_id) SELECT s.id, l.entrance_id"
            f" FROM {_LINKS} l JOIN {ROWS} s ON s.row = l.row WHERE TRUE ON CONFLICT DO NOTHING"
        )
        touched = run(f"SELECT id FROM {ROWS} WHERE is_new OR changed").scalars().all()
        sync_panels(job.staging.connection, touched, job.now)
        sync_codes(job.staging.connection, job.now, panels=touched)
        return count_rows(job)
