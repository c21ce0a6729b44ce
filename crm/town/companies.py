"""Management companies of the demo town: two with its houses, each with an access code, and one that is not active."""

from __future__ import annotations

import time

import sqlalchemy as sa

from crm.companies.code_runs import make_by_hand
from crm.model import House, table
from crm.search.index import Indexed, reindex
from crm.store import Store
from crm.tables.companies import Company
from crm.who import SYSTEM

_COMPANIES, _HOUSES = table(Company), table(House)
# Name, INN, contact, phone, e-mail, and the streets and numbers of its houses.
_TOWN = (
    (
        *("УК Южный Урал", "7451999001", "Белова Ирина Олеговна", "+73517000001", "office@ural.example"),
        (("ул. Ленина", "5"), ("ул. Ленина", "7"), ("пр. Победы", "11")),
    ),
    (
        *("ТСЖ Копейск-Центр", "7411999002", "Зайцев Олег Петрович", "+73513900009", "tsj@kop.example"),
        (("ул. Мира", "1"), ("пр. Коммунистический", "3")),
    ),
    ("УК Прежняя", "7451999003", "", "", "", ()),
)
_DIGITS = 5


def fill_companies(store: Store) -> None:
    """Those that are not there yet, with the houses that have none."""
    for name, inn, contact, phone, email, houses in _TOWN:
        with store.transaction() as connection:
            if connection.scalar(sa.select(_COMPANIES.c.id).where(_COMPANIES.c.name == name)) is not None:
                continue
            row = {"name": name, "inn": inn, "contact": contact, "phone": phone, "email": email}
            made = sa.insert(_COMPANIES).values(active=bool(houses), **row).returning(_COMPANIES.c.id)
            id = int(connection.execute(made).scalar_one())
            reindex(connection, Indexed.COMPANY, [id])
            for street, number in houses:
                mine = sa.and_(_HOUSES.c.street == street, _HOUSES.c.number == number)
                free = sa.update(_HOUSES).where(mine, _HOUSES.c.company_id.is_(None))
                connection.execute(free.values(company_id=id))
        if houses:
            make_by_hand(store, SYSTEM, id, _DIGITS, time.time(), billing=False)
