"""What the CRM's fleet has beside bench.fleet_rows: streets, people, companies, keys, calls, changes, words to search by.

Six cities with streets of their own; names are made up. Everything is reckoned from numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property

from bench.fleet_rows import FIRST_ID, HOUSE_ENTRANCES, Fleet, Row
from crm import model
from crm.search.index import Indexed
from crm.search.text import company_words, house_words, key_words, resident_words
from crm.tables.calls import Call, Leg
from crm.tables.companies import Company
from crm.tables.keys import Key, KeyBinding, KeyScope, Technology
from crm.tables.people import Resident, ResidentFlat
from crm.tables.search import SearchWord
from crm.tables.staff import Change
from crm.values.records import LegEnd, Outcome

TOWNS = ("Челябинск", "Копейск", "Магнитогорск", "Екатеринбург", "Тюмень", "Пермь")
STREETS = (
    "ул. Ленина",
    "пр. Победы",
    "ул. 8 Марта",
    "ул. Кирова",
    "ул. Гагарина",
    "ул. Молодогвардейцев",
    "пр. Королёва",
    "ул. Братьев Кашириных",
    "ул. 50-летия ВЛКСМ",
    "ул. Чичерина",
    "ул. Садовая",
    "пер. Речной",
    "ул. Лесопарковая",
    "б-р Славы",
    "ул. Энтузиастов",
    "ул. Пушкина",
    "ул. Гоголя",
    "ул. Чехова",
    "ш. Металлургов",
    "ул. Российская",
    "ул. Свободы",
    "ул. Цвиллинга",
    "ул. Воровского",
    "наб. Зелёная",
    "ул. Труда",
    "ул. Механическая",
    "ул. Академика Курчатова",
    "ул. Бажова",
    "ул. Мамина",
    "ул. Салютная",
    "ул. Новороссийская",
    "ул. Дзержинского",
    "ул. Гончаренко",
    "ул. Барбюса",
    "ул. Агалакова",
    "ул. Южный Бульвар",
    "ул. Шота Руставели",
    "ул. Овчинникова",
    "ул. Доватора",
    "ул. Красная",
)
FAMILIES = (
    "Иванов Смирнов Кузнецов Попов Васильев Петров Соколов Михайлов Новиков Фёдоров Морозов Волков Алексеев Лебедев"
    " Семёнов Егоров Павлов Козлов Степанов Николаев Орлов Андреев Макаров Никитин Захаров Зайцев Соловьёв Борисов"
    " Яковлев Григорьев Романов Воробьёв Сергеев Кузьмин Фролов Александров Дмитриев Королёв Гусев Киселёв Ильин"
    " Максимов Поляков Сорокин Виноградов Ковалёв Белов Медведев Антонов Тарасов Жуков Баранов Филиппов Комаров"
    " Давыдов Беляев Герасимов Богданов Осипов Сидоров Матвеев Титов Марков Миронов Крылов Куликов Карпов Власов"
).split()
MEN = "Александр Сергей Дмитрий Андрей Алексей Максим Евгений Иван Михаил Артём Николай Пётр Юрий Олег Глеб".split()
WOMEN = (
    "Елена Ольга Наталья Анна Татьяна Ирина Мария Светлана Юлия Екатерина Дарья Ксения Вера Зоя Алёна".split()
)
FATHERS = (
    "Александро Сергее Дмитрие Андрее Алексее Максимо Евгение Ивано Михайло Николае Петро Юрье Олего".split()
)
SHARES_A_PERSON = 25  # of so many accounts one is a second one of the resident before
DAY_S = 86_400.0
NOW = 1_790_000_000.0  # the end of the month of calls

Table = tuple[type[model.Base], Iterator[Row]]


class CrmFleet(Fleet):
    """A fleet with what the CRM's pages show of it: `companies`, `keys`, a month of `calls`, and `changes`."""

    def __init__(
        self, panels: int, flats: int, accounts: int, *, companies: int, keys: int, calls: int, changes: int
    ) -> None:
        super().__init__(panels, flats, accounts)
        self.companies, self.keys, self.calls, self.changes = companies, min(keys, flats * 10), calls, changes

    def tables(self) -> Iterator[Table]:
        """Each table's rows."""
        yield model.Street, self._streets()
        yield Company, self._companies()
        yield from super().tables()
        yield Resident, self._residents()
        yield ResidentFlat, self._resident_flats()
        yield Key, self._keys()
        yield KeyBinding, self._key_bindings()
        yield Call, self._calls()
        yield Leg, self._legs()
        yield Change, self._changes()
        yield SearchWord, self._words()

    def street(self, house: int) -> tuple[str, str]:
        """The street of house `house` (0, 1, …), and its city."""
        n = house // len(TOWNS) % len(STREETS)
        return STREETS[n], TOWNS[house % len(TOWNS)]

    def house_number(self, house: int) -> str:
        n = house // len(TOWNS) // len(STREETS)
        return (
            f"{n // 12 * 10 + n % 12 + 1}" if n % 12 < 10 else f"{n // 12 * 10 + 5}{'ак'[n % 2]}{n % 2 or ''}"
        )

    def address(self, house: int) -> str:
        return f"{self.street(house)[0]} {self.house_number(house)}"

    def home(self, account: int) -> int:
        """The flat (0, 1, …) of account `account` (0, 1, …)."""
        return self._flats_of_accounts[account]

    @cached_property
    def _flats_of_accounts(self) -> list[int]:
        return [flat for flat, size in self.homes for _ in range(size)]

    def resident(self, account: int) -> int:
        """The resident of an account, by its number too."""
        return account - 1 if account % SHARES_A_PERSON == SHARES_A_PERSON - 1 else account

    def name(self, resident: int) -> str:
        n = resident * 7919 + resident // 97
        family, father = FAMILIES[n % len(FAMILIES)], FATHERS[n // 71 % len(FATHERS)]
        if n // 13 % 2:
            return f"{family} {MEN[n // 5 % len(MEN)]} {father}вич"
        return f"{family}а {WOMEN[n // 5 % len(WOMEN)]} {father}вна"

    def phone(self, resident: int) -> str:
        return f"+79{(resident * 104_729 + 12_345) % 1_000_000_000:09}"

    def uid(self, key: int) -> str:
        """Four bytes of a Mifare, or five of an EM-Marin."""
        mixed = (key * 2_654_435_761 + 77) & 0xFFFFFFFF
        return f"{mixed:08X}" if key % 2 else f"4B{mixed:08X}"

    def call_id(self, call: int) -> str:
        return f"{(call + 1) * 0x9E3779B97F4A7C15 & (1 << 64) - 1:016x}"

    def _cities(self) -> Iterator[Row]:
        for n, name in enumerate(TOWNS):
            yield {"id": FIRST_ID + n, "region": "Область", "name": name, "time_zone": "Asia/Yekaterinburg"}

    def _streets(self) -> Iterator[Row]:
        for n in range(len(TOWNS) * len(STREETS)):
            yield {"id": FIRST_ID + n, "city_id": FIRST_ID + n % len(TOWNS), "name": STREETS[n // len(TOWNS)]}

    def _houses(self) -> Iterator[Row]:
        for n in range(self.houses):
            yield {
                "id": FIRST_ID + n,
                "city_id": FIRST_ID + n % len(TOWNS),
                "street": self.street(n)[0],
                "number": self.house_number(n),
                "lat": 55.0 + n % 997 / 1000,
                "lon": 61.0 + n % 991 / 1000,
                "street_id": FIRST_ID + n % (len(TOWNS) * len(STREETS)),
                "own_id": f"Д{n:06}",
                "company_id": FIRST_ID + n % self.companies,
            }

    def _flats(self) -> Iterator[Row]:
        for n, row in enumerate(super()._flats()):
            floor = n % self.per_entrance // 4 + 1
            yield {**row, "floor": floor, "contract": f"10{n:07}" if n % 2 == 0 else "", "code": ""}

    def _companies(self) -> Iterator[Row]:
        for n in range(self.companies):
            yield {
                "id": FIRST_ID + n,
                "name": self.company(n),
                "inn": f"74{n:08}",
                "phone": f"+7351{n:07}",
                "active": n % 10 != 0,
                "billing_id": f"b-{n}",
                "code": f"{n * 7919 % 1_000_000:06}",
                "code_at": NOW,
            }

    def company(self, n: int) -> str:
        words = ("Зелёный двор", "Комфорт", "Уют", "Центр", "Горжилсервис", "Альфа", "Надежда", "Наш дом")
        return f"{('УК', 'ООО УК', 'ТСЖ')[n % 3]} «{words[n % len(words)]}-{n}»"

    def _accounts(self) -> Iterator[Row]:
        for n, row in enumerate(super()._accounts()):
            yield {**row, "resident_id": FIRST_ID + self.resident(n)}

    def _people(self) -> Iterator[int]:
        return (n for n in range(self.accounts) if self.resident(n) == n)

    def _residents(self) -> Iterator[Row]:
        for n in self._people():
            yield {"id": FIRST_ID + n, "name": self.name(n), "phone": self.phone(n)}

    def _resident_flats(self) -> Iterator[Row]:
        for n in self._people():
            role = model.Role.OWNER if n % 2 else model.Role.RESIDENT
            yield {"flat_id": FIRST_ID + self.home(n), "resident_id": FIRST_ID + n, "role": role}

    def _keys(self) -> Iterator[Row]:
        for n in range(self.keys):
            yield {
                "id": FIRST_ID + n,
                "uid": self.uid(n),
                "technology": Technology.MIFARE if n % 2 else Technology.EM_MARIN,
                "given": self.uid(n),
                "created_at": NOW - n % 1000 * DAY_S,
                "lost_at": NOW - n % 100 * DAY_S if n % 50 == 0 else None,
            }

    def _key_bindings(self) -> Iterator[Row]:
        for n in range(self.keys):
            yield {"key_id": FIRST_ID + n, "scope": KeyScope.FLAT, "ref_id": FIRST_ID + n * 7 % self.flats}

    def _calls(self) -> Iterator[Row]:
        outcomes = (Outcome.TALKED, Outcome.TALKED, Outcome.NOBODY_ANSWERED, Outcome.GAVE_UP)
        for n in range(self.calls):
            account = n * 31 % self.accounts
            flat = self.home(account)
            entrance, at = flat // self.per_entrance, NOW - 30 * DAY_S + n * (30 * DAY_S / self.calls)
            panel, outcome = self._user(entrance), outcomes[n % 4]
            talked = outcome is Outcome.TALKED
            noted = [
                {"at": at, "kind": "button", "data": {"panel": panel, "dialled": str(self._number(flat))}}
            ]
            yield {
                "call_id": self.call_id(n),
                "kind": "visitor",
                "node": "node1",
                "panel": panel,
                "dialled": str(self._number(flat)),
                "address": f"{self.address(self._house(entrance))}, п. {entrance % HOUSE_ENTRANCES + 1}",
                "domophone": f"02f0{entrance:08x}",
                "flat": str(self._number(flat)),
                "flat_id": FIRST_ID + flat,
                "started_at": at,
                "answered_at": at + 7 if talked else None,
                "answered_by": f"8{account:09}" if talked else "",
                "door_at": at + 15 if talked else None,
                "ended_at": at + 30,
                "outcome": outcome,
                "entries": json.dumps(noted),
            }

    def _legs(self) -> Iterator[Row]:
        for n in range(self.calls):
            call, at = self.call_id(n), NOW - 30 * DAY_S + n * (30 * DAY_S / self.calls)
            account, talked = n * 31 % self.accounts, n % 4 < 2
            for position in (0, 1):
                yield {
                    "call_id": call,
                    "position": position,
                    "channel": f"td-{call}-acc-{position}" if position else f"1790000000.{n}",
                    "role": "account" if position else "panel",
                    "account": f"8{account:09}" if position else "",
                    "invited_at": at,
                    "ringing_at": at + 1,
                    "answered_at": at + 7 if talked else None,
                    "ended_at": at + 30,
                    "end": LegEnd.HUNG_UP if talked else LegEnd.CANCELLED,
                }

    def _changes(self) -> Iterator[Row]:
        for n in range(self.changes):
            yield {
                "id": FIRST_ID + n,
                "at": NOW - (self.changes - n) * 10.0,
                "by": f"employee:{n % 40 + 1}",
                "who": self.name(n % 40),
                "entity": ("flat", "house", "resident", "key")[n % 4],
                "entity_id": FIRST_ID + n % self.houses,
                "action": "update",
                "before": '{"code":""}',
                "after": f'{{"code":"{n % 10_000:04}"}}',
            }

    def _words(self) -> Iterator[Row]:
        for n in range(self.houses):
            street, city = self.street(n)
            yield from _index(Indexed.HOUSE, n, house_words(street, self.house_number(n), city))
        for n in self._people():
            yield from _index(Indexed.RESIDENT, n, resident_words(self.name(n), self.phone(n)))
        for n in range(self.companies):
            yield from _index(Indexed.COMPANY, n, company_words(self.company(n), f"74{n:08}"))
        for n in range(self.keys):
            yield from _index(Indexed.KEY, n, key_words(self.uid(n)))


def _index(kind: Indexed, n: int, words: list[str]) -> Iterator[Row]:
    for word in words:
        yield {"word": word, "kind": kind.value, "ref_id": FIRST_ID + n}
