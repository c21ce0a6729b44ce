"""A town of two companies for tests of reach: all that there is, once for each, under one number, with a word in it.

What is whose is told by its number (`OWN`, `FOREIGN`: the id of everything of a side) and by its words: each text of the
other side has FOREIGN's word in it, or is one of its `marks`.
"""

from __future__ import annotations

import json
import time
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from crm.model import (
    Account,
    AccountFlat,
    City,
    Domophone,
    DomophoneEntrance,
    Entrance,
    EntranceFlat,
    Flat,
    FlatBlock,
    House,
    HouseEntrance,
    Phone,
    PhoneFlat,
    Platform,
    Street,
    Vendor,
    table,
)
from crm.search.index import Indexed, reindex
from crm.store import Store
from crm.tables.billing import Debt, UnknownContract
from crm.tables.calls import Call, Leg
from crm.tables.companies import CodeDelivery, Company, CompanyCode
from crm.tables.devices import Relay, RelayChannel
from crm.tables.imports import Import
from crm.tables.keys import Key, KeyBinding, KeyDelivery, KeyScope
from crm.tables.people import Resident, ResidentFlat
from crm.tables.quality import QualityCampaign, QualityFlat, QualityResult, QualityTask
from crm.tables.sos import SosLease, SosNumber, SosTest
from crm.tables.staff import Change
from crm.values.quality import CallType, CampaignState, Only, TaskState
from crm.values.records import LegEnd, Outcome
from crm.values.sos import Why

NOW = time.time()
CITY = 9001


@frozen
class Side:
    """One company and all that is its: `id` of each thing, `word` in each text, `digit` in each number."""

    id: int
    word: str
    digit: str

    @property
    def call(self) -> str:
        return f"call-{self.word.lower()}"

    @property
    def panel(self) -> str:
        return f"p-{self.word.lower()}"

    @property
    def account(self) -> str:
        return f"a-{self.word.lower()}"

    @property
    def mac(self) -> str:
        return self.digit * 12

    @property
    def phone(self) -> str:
        return "+7" + self.digit * 10

    @property
    def uid(self) -> str:
        return (self.digit + "A") * 5

    @property
    def fias(self) -> str:
        part = self.digit
        return f"{part * 8}-{part * 4}-{part * 4}-{part * 4}-{part * 12}"

    @property
    def code(self) -> str:
        return self.digit * 7

    @property
    def marks(self) -> tuple[str, ...]:
        """What tells, in an answer in small letters, that something of this side is in it."""
        return (self.word.lower(), self.mac, self.phone[1:], self.uid.lower(), self.code)


OWN = Side(5001, "Qownq", "4")
FOREIGN = Side(7001, "Zfarz", "6")


def fill(store: Store) -> None:
    """Both sides, and what is everybody's: a city, a street."""
    with store.transaction() as connection:
        city = {"region": "область", "name": "Город", "time_zone": "Asia/Yekaterinburg", "fias": "c-9001"}
        _add(connection, City, id=CITY, **city)
        _add(connection, Street, id=CITY, city_id=CITY, name="ул. Общая")
        for side in (OWN, FOREIGN):
            _housing(connection, side)
            _people(connection, side)
            _devices(connection, side)
            _keys(connection, side)
            _calls(connection, side)
            _quality(connection, side)
            _sos(connection, side)
            _others(connection, side)
            for kind in (Indexed.HOUSE, Indexed.RESIDENT, Indexed.COMPANY, Indexed.KEY):
                reindex(connection, kind, [side.id])


def fill_gate(store: Store) -> None:
    """A gate that both companies' houses share, with a panel and calls from it to a flat of each."""
    with store.transaction() as connection:
        _add(connection, Entrance, id=CITY, name="ворота")
        panel = {"mac": "0" * 12, "sip_user": "p-gate", "ha1": "0" * 32, "vendor": Vendor.SOKOL}
        _add(connection, Domophone, id=CITY, **panel)
        _add(connection, DomophoneEntrance, domophone_id=CITY, entrance_id=CITY)
        for side in (FOREIGN, OWN):
            _add(connection, HouseEntrance, entrance_id=CITY, house_id=side.id, prefix="")
            _add(connection, EntranceFlat, flat_id=side.id, entrance_id=CITY)
            _call(connection, side, f"gate-{side.call}", "p-gate")
            _add(connection, KeyDelivery, key_id=side.id, domophone_id=CITY, wanted=True, due_at=NOW)


def _add(connection: sa.Connection, of: Any, /, **values: Any) -> None:
    if of is FlatBlock:
        values["from"] = values.pop("since")
    connection.execute(sa.insert(table(of)).values(values))


def _housing(connection: sa.Connection, side: Side) -> None:
    id, word = side.id, side.word
    named = {"name": f"УК {word}", "contact": f"{word} Анна", "email": f"{word}@example.ru".lower()}
    money = {"billing_id": f"B-{word}", "billing_error": f"billing {word}", "code": side.code, "code_at": NOW}
    _add(connection, Company, id=id, inn=side.digit * 10, phone=side.phone, **named, **money)
    made = {"made_at": NOW, "made_by": f"by {word}", "billing_error": f"told {word}"}
    _add(connection, CompanyCode, id=id, company_id=id, code=side.code, **made)
    house = {"street": "ул. Общая", "number": f"1{word}", "own_id": f"H-{word}", "fias": side.fias}
    _add(connection, House, id=id, city_id=CITY, street_id=CITY, company_id=id, **house)
    _add(connection, Entrance, id=id, name=f"п. {word}")
    _add(connection, HouseEntrance, entrance_id=id, house_id=id, prefix="")
    flat = {"number": f"7{word}", "contract": f"C-{word}", "code": side.code}
    _add(connection, Flat, id=id, house_id=id, floor=1, **flat)
    _add(connection, EntranceFlat, flat_id=id, entrance_id=id, panel_number=f"9{word}")
    block = {"kind": "by_request", "since": NOW - 60, "reason": f"reason {word}"}
    _add(connection, FlatBlock, id=id, flat_id=id, **block)


def _people(connection: sa.Connection, side: Side) -> None:
    id, word = side.id, side.word
    person = {"name": f"{word} Иван", "email": f"{word}@home.ru", "note": f"note {word}"}
    _add(connection, Resident, id=id, phone=side.phone, **person)
    _add(connection, ResidentFlat, flat_id=id, resident_id=id)
    _add(connection, Account, id=id, sip_user=side.account, domain="teledom", ha1="1" * 32, resident_id=id)
    _add(connection, AccountFlat, flat_id=id, account_id=id)
    app = {"bundle": f"ru.{word}.app", "push_token": f"{word}-token-long-enough"}
    _add(connection, Phone, id=id, account_id=id, platform=Platform.ANDROID, **app)
    _add(connection, PhoneFlat, flat_id=id, phone_id=id, rings=False)


def _devices(connection: sa.Connection, side: Side) -> None:
    id, word = side.id, side.word
    reached = {"url": f"http://{word}.example".lower(), "http_user": f"user{word}", "note": f"note {word}"}
    panel: dict[str, Any] = {
        "sip_user": side.panel,
        "model": f"M{word}",
        "firmware": f"F{word}",
        "place": f"at {word}",
    }
    panel |= {"ha1": "2" * 32, "vendor": Vendor.SOKOL, "sos_number": side.phone}
    _add(connection, Domophone, id=id, mac=side.mac, **panel, **reached)
    _add(connection, DomophoneEntrance, domophone_id=id, entrance_id=id)
    _add(connection, Relay, id=id, mac=side.mac, name=f"relay {word}", model="shelly-2", **reached)
    _add(connection, RelayChannel, id=id, relay_id=id, number=1, name=f"channel {word}", entrance_id=id)
    _add(connection, CodeDelivery, code_id=id, domophone_id=id, due_at=NOW, error=f"panel {word}")


def _keys(connection: sa.Connection, side: Side) -> None:
    id, word = side.id, side.word
    texts = {"given": f"given {word}", "note": f"note {word}", "lost_why": f"why {word}"}
    _add(connection, Key, id=id, uid=side.uid, created_at=NOW, seen_at=NOW, seen_by=side.panel, **texts)
    for scope in (KeyScope.FLAT, KeyScope.ENTRANCE, KeyScope.HOUSE, KeyScope.COMPANY, KeyScope.RESIDENT):
        _add(connection, KeyBinding, key_id=id, scope=scope, ref_id=id)
    _add(connection, KeyDelivery, key_id=id, domophone_id=id, wanted=True, due_at=NOW, error=f"key {word}")


def _calls(connection: sa.Connection, side: Side) -> None:
    _call(connection, side, side.call, side.panel)


def _call(connection: sa.Connection, side: Side, id: str, panel: str) -> None:
    word = side.word
    where = {"address": f"ул. Общая 1{word}", "domophone": side.mac, "flat": f"7{word}", "flat_id": side.id}
    times = {"started_at": NOW - 600, "answered_at": NOW - 590, "ended_at": NOW - 500}
    said = {"kind": "visitor", "node": "node1", "panel": panel, "dialled": f"d{word}"}
    entry = [{"at": NOW - 600, "kind": "button", "data": {"panel": panel, "dialled": f"d{word}"}}]
    ends = {"outcome": Outcome.TALKED, "answered_by": side.account, "recording": f"{word}.wav"}
    _add(connection, Call, call_id=id, **where, **times, **said, **ends, entries=json.dumps(entry))
    leg = {"channel": f"ch-{word}-{panel}", "role": "account", "account": side.account, "end": LegEnd.HUNG_UP}
    _add(connection, Leg, call_id=id, position=0, invited_at=NOW - 599, **leg)


def _quality(connection: sa.Connection, side: Side) -> None:
    id, word = side.id, side.word
    hours = json.dumps(["10:00", "20:00", [0, 1], []])
    plan = {"kind": CallType.PLANNED, "only": Only.ALL, "hours": hours, "zones": '["UTC"]', "spacing_s": 60.0}
    plan |= {
        "scope": json.dumps([[], [id], [], []]),
        "per_house": 1,
        "attempts": 1,
        "attempt_spacing_s": 60.0,
    }
    plan |= {"priority": 1, "state": CampaignState.RUNNING, "created_at": NOW}
    _add(connection, QualityCampaign, id=id, name=f"campaign {word}", **plan)
    task = {
        "campaign_id": id,
        "kind": CallType.PLANNED,
        "flat_id": id,
        "domophone_id": id,
        "why": f"w {word}",
    }
    task |= {"entrance_id": id, "house_id": id, "time_zone": "UTC", "state": TaskState.WAITING, "due_at": NOW}
    _add(connection, QualityTask, id=id, **task)
    found = {"kind": CallType.PLANNED, "verdict": "good", "confidence": 0.9, "why": f"why {word}"}
    found |= {"measures": "{}", "line": f"line {word}", "recording": f"{word}.wav", "picture": f"{word}.png"}
    found |= {"call_id": side.call, "panel": side.panel, "attempt": 1, "started_at": NOW, "ended_at": NOW}
    _add(connection, QualityResult, id=id, task_id=id, flat_id=id, campaign_id=id, **found)
    _add(connection, QualityFlat, flat_id=id, verdict="good", at=NOW, result_id=id)


def _sos(connection: sa.Connection, side: Side) -> None:
    id, word = side.id, side.word
    lent = {"status": 1, "event_time": NOW, "domophone": side.mac, "lease": f"lease-{word}"}
    number = "+7351" + side.digit * 7
    _add(connection, SosNumber, id=id, fias="c-9001", number=f"+7351000{id}", **lent)
    lease: dict[str, Any] = {"fias": "c-9001", "number": number, "panel": side.panel, "domophone": side.mac}
    lease |= {"call_id": side.call, "node": "node1", "why": Why.FREE, "started_at": NOW - 60}
    _add(connection, SosLease, id=f"lease-{word}", **lease)
    test = {"by_hand": False, "due_at": NOW - 1e7, "passed": True, "result": f"result {word}"}
    test |= {"call_id": side.call, "started_at": NOW - 1e7, "ended_at": NOW - 1e7 + 30}
    _add(connection, SosTest, id=id, panel=side.panel, **test)


def _others(connection: sa.Connection, side: Side) -> None:
    id, word = side.id, side.word
    _add(connection, Debt, contract=f"C-{word}", since=NOW, amount="100", told_at=NOW)
    unknown = {"fias": side.fias, "own_id": f"U-{word}", "flat": f"8{word}", "told_at": NOW}
    _add(connection, UnknownContract, contract=f"X-{word}", **unknown)
    file = {
        "kind": "flats",
        "name": f"{word}.csv",
        "state": "refused",
        "by": "employee:77",
        "created_at": NOW,
    }
    _add(
        connection, Import, id=id, **file, who=f"who {word}", errors=json.dumps([[2, "house", f"no {word}"]])
    )
    change = {"at": NOW, "by": "employee:77", "who": f"who {word}", "action": "update"}
    change |= {"before": json.dumps({"name": f"was {word}"}), "after": json.dumps({"name": f"is {word}"})}
    for entity in ("house", "flat", "company", "resident", "domophone", "key", "relay"):
        _add(connection, Change, entity=entity, entity_id=id, **change)
