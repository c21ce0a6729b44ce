"""A house's grid and a flat's card, in both databases: what each flat is said to be, and to whom."""

from __future__ import annotations

import sqlalchemy as sa

from crm.housing.flat_card import FlatCard, card_of
from crm.housing.grid import FlatState, GridFlat, HouseGrid, counted, grid_of, zone_of
from crm.model import BlockKind, Dialling, Flat, House, Role
from crm.rights import EVERYWHERE, Reach, Right, Rights
from crm.store import Store
from crm.tables.calls import Call, Leg
from crm.tables.keys import Key, KeyBinding, KeyScope
from crm.tables.people import Resident, ResidentFlat
from crm.tables.quality import QualityFlat
from crm.values.records import Outcome
from crm.who import SYSTEM, Who
from tests.crm.houses import Houses

NOW = 1_795_600_000.0


def look(store: Store, house: int, who: Who = SYSTEM) -> HouseGrid:
    with store.reading() as connection:
        return grid_of(connection, who, house, NOW)


def flats_of(store: Store, house: int, who: Who = SYSTEM) -> dict[str, GridFlat]:
    return {flat.number: flat for flat in look(store, house, who).flats}


def card(store: Store, flat: int, who: Who = SYSTEM) -> FlatCard:
    with store.reading() as connection:
        found = card_of(connection, who, flat, NOW)
    assert found is not None
    return found


def called(store: Store, flat: int, outcome: Outcome, at: float, kind: str = "visitor") -> None:
    with store.session() as session:
        session.add(
            Call(
                call_id=f"c{flat}-{at}",
                kind=kind,
                node="n",
                panel="700001",
                dialled="1",
                address="",
                domophone="",
                flat="1",
                flat_id=flat,
                started_at=at,
                answered_by="",
                outcome=outcome,
                entries="[]",
            )
        )


def legs(store: Store, flat: int, at: float, *rang_at: float | None) -> None:
    """A leg to an account for each, of the call at this time: when it rang; None: it did not."""
    with store.session() as session:
        for n, rang in enumerate(rang_at):
            leg = Leg(call_id=f"c{flat}-{at}", position=n, channel="", role="account", account=f"735{n}")
            leg.ringing_at = rang
            session.add(leg)


def judged(store: Store, flat: int, verdict: str) -> None:
    with store.session() as session:
        session.add(QualityFlat(flat_id=flat, verdict=verdict, at=NOW - 60, result_id=1))


def test_flats_stand_at_their_entrance_and_floor_in_the_order_of_people(store: Store, houses: Houses) -> None:
    house, other = houses.house("1"), houses.house("2")
    second, first = houses.entrance("п. 10", house), houses.entrance("п. 2", house)
    gate = houses.entrance("ворота", house, other)
    for number, door, floor in (("10", first, 1), ("2", first, 1), ("11", second, 2)):
        flat = houses.flat(house, number, door, gate)
        with store.session() as session:
            session.execute(sa.update(Flat).where(Flat.id == flat).values(floor=floor))
    houses.flat(house, "12", gate)
    houses.flat(house, "13")
    houses.flat(other, "99", gate)

    grid = look(store, house)

    assert [door.name for door in grid.doors] == ["п. 2", "п. 10", "ворота", ""]
    assert grid.floors == (2, 1, None)
    assert [flat.number for flat in grid.at(first, 1)] == ["2", "10"]
    assert [flat.number for flat in grid.at(second, 2)] == ["11"]
    assert [flat.number for flat in grid.at(gate, None)] == ["12"]
    assert [flat.number for flat in grid.at(None, None)] == ["13"]


def test_a_flat_whose_phones_did_not_ring_at_its_last_call_does_not_ring_fine(
    store: Store, houses: Houses
) -> None:
    house = houses.house("1")
    flats = {n: houses.flat(house, n) for n in ("1", "2", "3")}
    for n, flat in flats.items():
        houses.phone(houses.account(f"735100{n}", flat), f"token {n}")
        called(store, flat, Outcome.RING_TIMEOUT, NOW - 50, kind="test_ring")
    legs(store, flats["1"], NOW - 50, None, None)
    legs(store, flats["2"], NOW - 50, None, NOW - 48)
    called(store, flats["3"], Outcome.RING_TIMEOUT, NOW - 90)
    legs(store, flats["3"], NOW - 90, None)
    legs(store, flats["3"], NOW - 50, NOW - 49)  # it is the last call that counts

    found = flats_of(store, house)

    assert [found[n].state for n in ("1", "2", "3")] == [FlatState.SILENT, FlatState.FINE, FlatState.FINE]
    assert found["1"].call is not None
    assert found["1"].call.silent


def test_each_flat_is_what_is_worst_of_it(store: Store, houses: Houses) -> None:
    house = houses.house("1")
    flats = {n: houses.flat(house, n) for n in ("1", "2", "3", "4", "5", "6", "7", "8")}
    for n in ("1", "2", "3", "5", "6", "7"):
        houses.phone(houses.account(f"735100{n}", flats[n]), f"token {n}")
    houses.phone(houses.account("7351100", flats["3"]), "")  # it has no token
    houses.account("7351101", flats["4"], rings=False)
    houses.block(flats["5"], BlockKind.DEBT, NOW - 10)
    houses.block(flats["1"], BlockKind.DEBT, NOW - 20, NOW - 10)  # it is over
    houses.block(flats["2"], BlockKind.DEBT, NOW + 10)  # it is to come
    judged(store, flats["6"], "dead")
    judged(store, flats["1"], "good")
    judged(store, flats["7"], "nobody_answered")
    for n in ("1", "3", "7"):
        called(store, flats[n], Outcome.GAVE_UP, NOW - 100)
    called(store, flats["1"], Outcome.TALKED, NOW - 50)
    called(store, flats["1"], Outcome.TALKED, NOW - 40, kind="quality")

    found = flats_of(store, house)

    assert {n: flat.state for n, flat in found.items()} == {
        "1": FlatState.FINE,
        "2": FlatState.NEVER_CALLED,
        "3": FlatState.ASLEEP,
        "4": FlatState.NO_APP,
        "5": FlatState.BLOCKED,
        "6": FlatState.HANDSET_BAD,
        "7": FlatState.FINE,
        "8": FlatState.NO_APP,
    }
    assert found["1"].call is not None
    assert (found["1"].call.at, found["1"].call.outcome) == (NOW - 50, Outcome.TALKED)
    assert len(found["5"].blocks) == 1
    assert found["3"].phones is not None
    assert (found["3"].phones.accounts, found["3"].phones.phones, found["3"].phones.woken) == (2, 2, 1)
    assert counted(found.values())[FlatState.FINE] == 2


def test_an_iphone_is_woken_by_its_own_token_only(store: Store, houses: Houses) -> None:
    house = houses.house("1")
    flat = houses.flat(house, "1")
    account = houses.account("7351001", flat)
    houses.phone(account, "push", voip_token="voip")
    off = houses.phone(account, "", off_for=flat)
    phones = flats_of(store, house)["1"].phones
    assert phones is not None
    assert (phones.phones, phones.woken, phones.some_asleep) == (1, 1, False)
    shown = card(store, flat).accounts
    assert shown is not None
    assert [(each.id == off, each.rings, each.wakes) for each in shown[0].phones] == [
        (False, True, True),
        (True, False, False),
    ]


def test_an_account_without_a_known_phone_cannot_be_woken(store: Store, houses: Houses) -> None:
    house = houses.house("1")
    flat = houses.flat(house, "1")
    houses.account("7351001", flat)
    assert flats_of(store, house)["1"].state is FlatState.ASLEEP


def test_what_somebody_has_no_right_to_says_nothing(store: Store, houses: Houses) -> None:
    house, other = houses.house("1"), houses.house("2")
    flat = houses.flat(house, "1")
    houses.account("7351001", flat)
    houses.block(flat, BlockKind.DEBT, NOW - 10)
    judged(store, flat, "dead")
    called(store, flat, Outcome.TALKED, NOW - 10)
    elsewhere = Reach(houses=frozenset({other}))
    rights = {Right.HOUSING_VIEW: EVERYWHERE, Right.PEOPLE_VIEW: elsewhere, Right.CALLS_VIEW: elsewhere}
    who = Who("employee:7", "Anna", Rights(rights))

    found = flats_of(store, house, who)["1"]
    shown = card(store, flat, who)

    assert (found.phones, found.blocks, found.handset, found.call) == (None, (), None, None)
    assert found.state is FlatState.FINE
    assert (shown.people, shown.accounts, shown.keys, shown.blocks, shown.calls) == (None,) * 5
    assert shown.handset is None
    assert not shown.rights


def test_a_card_has_people_keys_doors_and_calls(store: Store, houses: Houses) -> None:
    house = houses.house("1")
    entrance = houses.entrance("п. 1", house)
    gate = houses.entrance("ворота", house, houses.house("2"), prefixes=("1", "2"))
    flat = houses.flat(house, "7", entrance)
    with store.session() as session:
        person = Resident(name="Анна", phone="+73512000001")
        keys = [Key(uid=f"AA{n}", created_at=NOW) for n in range(3)]
        session.add_all([person, *keys])
        session.flush()
        session.add(ResidentFlat(flat_id=flat, resident_id=person.id, role=Role.OWNER))
        bound = ((KeyScope.FLAT, flat), (KeyScope.RESIDENT, person.id), (KeyScope.FLAT, flat + 1))
        for key, (scope, ref) in zip(keys, bound, strict=True):
            session.add(KeyBinding(key_id=key.id, scope=scope, ref_id=ref))
    houses.panel("700001", entrance)
    houses.panel("700002", gate, dialling=Dialling.PREFIX_FLAT)
    with store.session() as session:
        session.execute(
            sa.text("INSERT INTO entrance_flats (flat_id, entrance_id) VALUES (:flat, :gate)"),
            {"flat": flat, "gate": gate},
        )
    for n in range(7):
        called(store, flat, Outcome.GAVE_UP, NOW - n)

    found = card(store, flat)

    assert [each.name for each in found.people or ()] == ["Анна"]
    assert [(each.uid, each.whose) for each in found.keys or ()] == [("AA0", ""), ("AA1", "Анна")]
    assert [(each.name, each.dialled) for each in found.doors] == [("п. 1", "7"), ("ворота", "1#7")]
    assert [each.at for each in found.calls or ()] == [NOW, NOW - 1, NOW - 2, NOW - 3, NOW - 4]


def test_the_zone_is_the_houses_own_or_its_citys(store: Store, houses: Houses) -> None:
    house = houses.house("1")
    with store.reading() as connection:
        assert zone_of(connection, house) == "Asia/Yekaterinburg"
    with store.session() as session:
        session.execute(sa.update(House).values(time_zone="Asia/Omsk"))
    with store.reading() as connection:
        assert zone_of(connection, house) == "Asia/Omsk"


def test_the_number_of_statements_does_not_grow_with_the_house(store: Store, houses: Houses) -> None:
    def statements(house: int) -> int:
        seen: list[str] = []
        with store.reading() as connection:
            sa.event.listen(connection, "before_cursor_execute", lambda *given: seen.append(str(given[2])))
            grid_of(connection, SYSTEM, house, NOW)
        return len(seen)

    small, large = houses.house("1"), houses.house("2")
    houses.flat(small, "1")
    for n in range(40):
        houses.flat(large, str(n))
    assert statements(small) == statements(large) < 12
