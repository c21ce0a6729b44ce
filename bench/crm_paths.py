"""What bench.crm opens: lists with filters and orders, records, files, and what forms suggest, by each of three people.

One sees everything, one the houses of a city, one those of a company; each opens what is his.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from urllib.parse import quote

from attrs import frozen

from bench.crm_rows import TOWNS, CrmFleet
from bench.fleet_rows import FIRST_ID
from crm.rights import EVERYWHERE, Reach

TRIES = 20_000  # to find by chance what lies within somebody's houses
HOUSE_ENTRANCES = 4


class Sees(Enum):
    """How far somebody sees."""

    EVERYWHERE = "everywhere"
    CITY = "a_city"
    COMPANY = "a_company"

    def reach(self, seed: int, fleet: CrmFleet) -> Reach:
        """The city or company is one of the fleet's, by `seed`."""
        match self:
            case Sees.EVERYWHERE:
                return EVERYWHERE
            case Sees.CITY:
                return Reach(cities=frozenset({FIRST_ID + seed % len(TOWNS)}))
            case Sees.COMPANY:
                return Reach(companies=frozenset({FIRST_ID + seed % fleet.companies}))


# Paths with what is filled in by chance; pages and API have them alike.
LISTS: Mapping[str, str] = {
    "houses": "/houses",
    "houses_by_street": "/houses?sort=street_id",
    "houses_of_a_street": "/houses?street_id={street}",
    "houses_of_a_city": "/houses?city_id={city}",
    "houses_of_a_company": "/houses?company_id={company}",
    "entrances": "/entrances",
    "flats": "/flats",
    "flats_of_a_house": "/flats?house_id={house}",
    "flats_by_number": "/flats?number=42",
    "streets": "/streets",
    "residents": "/residents",
    "residents_by_name": "/residents?name={family}",
    "residents_by_first_name": "/residents?name={first}",
    "residents_by_phone": "/residents?phone={phone}",
    "residents_of_a_house": "/residents?house_id={house}",
    "accounts": "/accounts",
    "accounts_by_user": "/accounts?sip_user={account_user}",
    "accounts_of_a_house": "/accounts?house_id={house}",
    "phones": "/phones",
    "companies": "/companies",
    "domophones": "/domophones",
    "domophones_by_mac": "/domophones?sort=-mac",
    "domophones_of_a_vendor": "/domophones?vendor=beward",
    "domophones_out_of_use": "/domophones?active=no",
    "keys": "/keys",
    "keys_lost": "/keys?state=lost",
    "keys_by_uid": "/keys?uid={uid}",
    "keys_of_a_house": "/keys?house_id={house}",
    "keys_of_a_flat": "/keys?flat_id={flat}",
    "calls": "/calls",
    "calls_of_a_panel": "/calls?panel={panel_user}",
    "calls_of_an_address": "/calls?address={address}",
    "calls_of_a_street": "/calls?address={street_name}",
    "calls_of_a_flat": "/calls?flat_id={flat}",
    "calls_to_a_number": "/calls?flat=42",
    "calls_of_an_account": "/calls?account={account_user}",
    "calls_talked": "/calls?outcome=talked",
    "calls_of_a_kind": "/calls?kind=visitor",
    "calls_door_opened": "/calls?door=yes",
    "calls_of_a_node": "/calls?node=node1",
    "changes": "/changes",
}
RECORDS: Mapping[str, str] = {
    "house": "/houses/{house}",
    "flat": "/flats/{flat}",
    "entrance": "/entrances/{entrance}",
    "domophone": "/domophones/{panel}",
    "account": "/accounts/{account}",
    "resident": "/residents/{resident}",
    "company": "/companies/{company}",
    "key": "/keys/{key}",
    "call": "/calls/{call}",
}
# Only the pages have these.
PAGES: Mapping[str, str] = {
    "blocks": "/flat-blocks",
    "blocks_standing": "/flat-blocks?state=stands",
    "blocks_past": "/flat-blocks?state=past",
    "blocks_by_beginning": "/flat-blocks?sort=since",
    "board": "/board",
    "house_grid": "/house/{house}/grid",
    "flat_card": "/flat/{flat}/card",
    "house_edit": "/houses/{house}/edit",
    "sos": "/sos",
    "sos_pools": "/sos/pools",
    "sos_leases": "/sos/leases",
    "sos_tests": "/sos-tests",
    "quality_campaigns": "/quality-campaigns",
    "quality_results": "/quality-results",
    "quality_of_a_house": "/quality/houses/{house}",
    "pick_house": "/pick/houses?field=q&q={address}",
    "pick_flat": "/pick/flats?field=q&q={address},%2042",
    "pick_resident": "/pick/residents?field=q&q={family}",
    "pick_account": "/pick/accounts?field=q&q={account_user}",
    "pick_domophone": "/pick/domophones?field=q&q={panel_user}",
    "pick_key": "/pick/keys?field=q&q={uid}",
    "pick_nothing_typed": "/pick/flats?field=q&q=",
}
FILES: Mapping[str, str] = {
    "flats_csv": "/flats.csv",
    "residents_csv": "/residents.csv",
    "keys_csv": "/keys.csv",
    "blocks_csv": "/flat-blocks.csv",
    "calls_csv": "/calls.csv",
}


@frozen
class Chooser:
    """Fills paths in, each time with others, of what somebody sees."""

    fleet: CrmFleet
    sees: Sees
    seed: int
    chance: random.Random

    def path(self, of: str) -> str:
        fleet = self.fleet
        flats_a_house = fleet.per_entrance * HOUSE_ENTRANCES
        flat = self._one(fleet.flats, lambda n: n // flats_a_house)
        house = flat // flats_a_house
        account = self._one(fleet.accounts, lambda n: fleet.home(n) // flats_a_house)
        panel = self._one(fleet.panels, lambda n: n // HOUSE_ENTRANCES)
        key = self._one(fleet.keys, lambda n: n * 7 % fleet.flats // flats_a_house)
        call = self._one(fleet.calls, lambda n: fleet.home(n * 31 % fleet.accounts) // flats_a_house)
        street, city = fleet.street(house)
        names = fleet.name(fleet.resident(account)).split()
        company = house % fleet.companies
        return of.format(
            house=FIRST_ID + house,
            flat=FIRST_ID + flat,
            entrance=FIRST_ID + flat // fleet.per_entrance,
            account=FIRST_ID + account,
            account_user=f"8{account:09}",
            resident=FIRST_ID + fleet.resident(account),
            panel=FIRST_ID + panel,
            panel_user=f"9{panel:06}",
            key=FIRST_ID + key,
            uid=fleet.uid(key),
            call=fleet.call_id(call),
            company=FIRST_ID + company,
            city=FIRST_ID + TOWNS.index(city),
            street=FIRST_ID + self.chance.randrange(100),
            street_name=quote(street),
            address=quote(fleet.address(house)),
            family=quote(names[0]),
            first=quote(names[1]),
            phone=quote(fleet.phone(fleet.resident(account))[:6]),
        )

    def _one(self, count: int, house_of: Callable[[int], int]) -> int:
        """One of so many, in a house that is seen."""
        found = 0
        for found in self._by_chance(count):
            house = house_of(found)
            match self.sees:
                case Sees.EVERYWHERE:
                    break
                case Sees.CITY if house % len(TOWNS) == self.seed % len(TOWNS):
                    break
                case Sees.COMPANY if house % self.fleet.companies == self.seed % self.fleet.companies:
                    break
        return found

    def _by_chance(self, count: int) -> Iterator[int]:
        return (self.chance.randrange(count) for _ in range(TRIES))
