"""Residents of the demo town: a name and a phone number for each of its accounts, in the flats of that account.

All of them are made up; the numbers are of a range that is given to nobody. No employees are: there is no default
password anywhere.
"""

from __future__ import annotations

import sqlalchemy as sa

from crm.model import Account, AccountFlat, table
from crm.search.index import Indexed, reindex
from crm.store import Store
from crm.tables.people import Resident, ResidentFlat

_ACCOUNTS, _HAS, _LIVES, _RESIDENTS = (
    table(Account),
    table(AccountFlat),
    table(ResidentFlat),
    table(Resident),
)
_FAMILIES = (
    ("Иванов", "Иванова"),
    ("Кузнецов", "Кузнецова"),
    ("Смирнов", "Смирнова"),
    ("Гайнуллин", "Гайнуллина"),
    ("Воробьёв", "Воробьёва"),
    ("Шевченко", "Шевченко"),
    ("Тарасов", "Тарасова"),
)
_MEN = ("Сергей Петрович", "Артём Игоревич", "Рустам Ильдарович", "Павел Андреевич", "Николай Фёдорович")
_WOMEN = ("Мария Сергеевна", "Ольга Викторовна", "Алсу Рашидовна", "Елена Павловна", "Анна Дмитриевна")
_NOTES = {3: "звонить после 18:00", 7: "председатель совета дома"}


def fill_people(store: Store) -> None:
    """Give each account of the town that has no resident one of its own."""
    with store.transaction() as connection:
        without = sa.select(_ACCOUNTS.c.id, _ACCOUNTS.c.sip_user).where(
            _ACCOUNTS.c.resident_id.is_(None), _ACCOUNTS.c.sip_user.startswith("735")
        )
        made = []
        for n, (account, _) in enumerate(connection.execute(without.order_by(_ACCOUNTS.c.sip_user)).all()):
            person = {
                "name": _name(n),
                "phone": f"+7000{7351000 + n:07}",
                "email": "",
                "note": _NOTES.get(n, ""),
            }
            new = sa.insert(_RESIDENTS).values(person).returning(_RESIDENTS.c.id)
            resident = int(connection.execute(new).scalar_one())
            mine = sa.update(_ACCOUNTS).where(_ACCOUNTS.c.id == account)
            connection.execute(mine.values(resident_id=resident))
            flats = sa.select(_HAS.c.flat_id, _HAS.c.role).where(_HAS.c.account_id == account)
            for flat, role in connection.execute(flats).all():
                connection.execute(sa.insert(_LIVES).values(flat_id=flat, resident_id=resident, role=role))
            made.append(resident)
        reindex(connection, Indexed.RESIDENT, made)


def _name(n: int) -> str:
    man, woman = _FAMILIES[n % len(_FAMILIES)]
    return f"{woman} {_WOMEN[n % len(_WOMEN)]}" if n % 2 else f"{man} {_MEN[n % len(_MEN)]}"
