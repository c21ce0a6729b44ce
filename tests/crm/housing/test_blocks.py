"""Blocks of flats: many at once, each kind with its right and what it stops, and none that touches 112."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from crm.desk.desk import Desk
from crm.directory.lookup import find
from crm.housing.blocks import (
    NewBlock,
    block_flats,
    flats_of,
    preview_blocks,
    settable_kinds,
    standing_blocks,
    take_back,
)
from crm.keys.keys import add_key, panels_of_key
from crm.keys.reach import Binding
from crm.model import FlatBlock, table
from crm.rights import EVERYWHERE, Reach, Right, Rights
from crm.sections import all_resources
from crm.sections.blocks import KINDS_RESOURCE
from crm.sos.panels import read_panel
from crm.store import Store
from crm.tables.blocks import BlockKindRow
from crm.tables.keys import KeyScope
from crm.tables.staff import Change
from crm.who import SYSTEM, Conflict, Forbidden, Invalid, NotFound, Who
from tests.crm.houses import Houses

NOW = 1_800_000_000.0
KINDS, BLOCKS = table(BlockKindRow), table(FlatBlock)


class Home:
    """A house with an entrance, a panel and the flats 1 to 12, and 12а; another with a flat 1."""

    def __init__(self, houses: Houses) -> None:
        self.house, self.other = houses.house("5"), houses.house("7")
        self.entrance = houses.entrance("п. 1", self.house)
        self.panel = houses.panel("p1", self.entrance)
        self.flats = {n: houses.flat(self.house, n, self.entrance) for n in (*map(str, range(1, 13)), "12а")}
        self.flat_away = houses.flat(self.other, "1", houses.entrance("п. 1", self.other))


@pytest.fixture
def home(houses: Houses) -> Home:
    return Home(houses)


def change_kind(store: Store, code: str, **values: object) -> None:
    with store.transaction() as connection:
        connection.execute(sa.update(KINDS).where(KINDS.c.code == code).values(**values))


def manager(*house_ids: int, rights: tuple[Right, ...] = (Right.BLOCKS_SET,)) -> Who:
    reach = Reach(houses=frozenset(house_ids))
    return Who("employee:7", "Anna", Rights({each: reach for each in (*rights, Right.BLOCKS_VIEW)}))


def kinds_at(store: Store, flat_id: int, now: float = NOW) -> list[str]:
    return [each.kind for each in standing_blocks(store, SYSTEM, flat_id, now)]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1-3, 7", ["1", "2", "3", "7"]),
        ("1 – 2;5 , 5", ["1", "2", "5"]),
        ("12А", ["12а"]),
        ("11-12", ["11", "12", "12а"]),
        ("10-99", ["10", "11", "12", "12а"]),
        ("*", [*map(str, range(1, 13)), "12а"]),
    ],
)
def test_flats_are_named_by_numbers_and_ranges(
    store: Store, home: Home, text: str, numbers: list[str]
) -> None:
    found = flats_of(store, SYSTEM, home.house, text)

    assert sorted(number for _, number in found) == sorted(numbers)
    assert dict(found) == {home.flats[number]: number for number in numbers}


@pytest.mark.parametrize("text", ["", " , ", "13", "1-3, 77", "20-30", "x", "3-1", "1--3", "0x1"])
def test_flats_that_a_house_does_not_have_are_refused(store: Store, home: Home, text: str) -> None:
    with pytest.raises(Invalid):
        flats_of(store, SYSTEM, home.house, text)


def test_many_flats_are_blocked_at_once_and_taken_back(store: Store, home: Home) -> None:
    flats = [home.flats["1"], home.flats["2"], home.flats["3"]]

    done, ids = block_flats(store, SYSTEM, flats, NewBlock("request", NOW, None, "заявление"), NOW)

    assert done.flats == tuple(flats)
    assert [kinds_at(store, flat) for flat in flats] == [["request"]] * 3
    assert kinds_at(store, home.flats["4"]) == []
    assert take_back(store, SYSTEM, ids, NOW + 10) == 3
    assert kinds_at(store, flats[0], NOW + 9) == ["request"]
    assert kinds_at(store, flats[0], NOW + 10) == []
    with store.reading() as connection:
        of = table(Change)
        said = connection.execute(sa.select(of.c.entity, of.c.entity_id, of.c.action).order_by(of.c.id)).all()
    assert [tuple(row) for row in said] == [("flat", f, a) for a in ("block", "unblock") for f in flats]


def test_a_block_that_is_still_to_come_is_deleted_when_it_is_taken_back(store: Store, home: Home) -> None:
    _, ids = block_flats(store, SYSTEM, [home.flats["1"]], NewBlock("debt", NOW + 100, NOW + 200), NOW)
    assert kinds_at(store, home.flats["1"], NOW + 100) == ["debt"]

    take_back(store, SYSTEM, ids, NOW)

    assert kinds_at(store, home.flats["1"], NOW + 100) == []
    with store.reading() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(BLOCKS)) == 0


def test_blocks_of_several_kinds_and_sources_stand_at_once_but_no_two_alike_by_hand(
    store: Store, houses: Houses, home: Home
) -> None:
    one, two = home.flats["1"], home.flats["2"]
    with store.transaction() as connection:
        billing = {"flat_id": one, "kind": "debt", "from": NOW, "reason": "", "source": "billing"}
        connection.execute(sa.insert(BLOCKS).values(billing))

    block_flats(store, SYSTEM, [one], NewBlock("debt", NOW, NOW + 50), NOW)
    block_flats(store, SYSTEM, [one], NewBlock("request", NOW), NOW)
    done, ids = block_flats(store, SYSTEM, [one, two], NewBlock("debt", NOW + 10, NOW + 60), NOW)
    later, _ = block_flats(store, SYSTEM, [one], NewBlock("debt", NOW + 50), NOW)

    assert (done.flats, done.left, len(ids)) == ((two,), (one,), 1)
    assert later.flats == (one,)
    assert kinds_at(store, one) == ["debt", "debt", "request"]
    assert preview_blocks(store, SYSTEM, [one, two], NewBlock("debt", NOW)).left == (one, two)


@pytest.mark.parametrize(
    "block", [NewBlock("nothing", NOW), NewBlock("debt", NOW, NOW), NewBlock("debt", NOW, None, "x" * 256)]
)
def test_a_block_that_cannot_be_is_refused(store: Store, home: Home, block: NewBlock) -> None:
    with pytest.raises(Invalid):
        block_flats(store, SYSTEM, [home.flats["1"]], block, NOW)


def test_each_kind_needs_its_right_and_nobody_blocks_beyond_his_houses(store: Store, home: Home) -> None:
    anna = manager(home.house)
    mine, away = home.flats["1"], home.flat_away

    block_flats(store, anna, [mine], NewBlock("request", NOW), NOW)
    assert [kind.code for kind in settable_kinds(store, anna)] == ["request"]
    with pytest.raises(Forbidden):
        block_flats(store, anna, [mine], NewBlock("admin", NOW), NOW)
    with pytest.raises(NotFound):
        block_flats(store, anna, [home.flats["2"], away], NewBlock("request", NOW), NOW)
    assert kinds_at(store, home.flats["2"]) == []  # all or none
    with pytest.raises(NotFound):
        flats_of(store, anna, home.other, "1")
    with pytest.raises(NotFound):
        standing_blocks(store, anna, away, NOW)
    _, (admins,) = block_flats(store, SYSTEM, [mine], NewBlock("admin", NOW), NOW)
    _, (there,) = block_flats(store, SYSTEM, [away], NewBlock("request", NOW), NOW)
    with pytest.raises(Forbidden):
        take_back(store, anna, [admins], NOW)
    with pytest.raises(NotFound):
        take_back(store, anna, [there], NOW)


def test_what_billing_has_set_only_billing_takes_back(store: Store, home: Home) -> None:
    with store.transaction() as connection:
        row = {"flat_id": home.flats["1"], "kind": "debt", "from": NOW, "reason": "", "source": "billing"}
        id = connection.scalar(sa.insert(BLOCKS).values(row).returning(BLOCKS.c.id))
    assert id is not None

    with pytest.raises(Conflict):
        take_back(store, SYSTEM, [id], NOW + 1)
    assert kinds_at(store, home.flats["1"], NOW + 2) == ["debt"]


def test_a_block_that_is_over_is_not_taken_back(store: Store, home: Home) -> None:
    _, ids = block_flats(store, SYSTEM, [home.flats["1"]], NewBlock("debt", NOW - 9, NOW - 1), NOW - 9)
    with pytest.raises(Conflict):
        take_back(store, SYSTEM, ids, NOW)


def test_keys_go_with_a_block_whose_kind_stops_them_and_come_back_after_it(store: Store, home: Home) -> None:
    flat = home.flats["1"]
    key = add_key(store, SYSTEM, "04A1B2C3", [Binding(KeyScope.FLAT, flat)], NOW)
    change_kind(store, "admin", stops_keys=True)

    block_flats(store, SYSTEM, [flat], NewBlock("request", NOW), NOW)
    assert [each.wanted for each in panels_of_key(store, SYSTEM, key)] == [True]
    _, ids = block_flats(store, SYSTEM, [flat], NewBlock("admin", NOW), NOW)
    assert [each.wanted for each in panels_of_key(store, SYSTEM, key)] == [False]
    take_back(store, SYSTEM, ids, NOW + 1)
    assert [each.wanted for each in panels_of_key(store, SYSTEM, key)] == [True]


def test_a_kind_that_begins_to_stop_keys_takes_those_of_its_flats(store: Store, houses: Houses) -> None:
    home = Home(houses)
    desk = Desk(store, all_resources())
    key = add_key(store, SYSTEM, "04A1B2C3", [Binding(KeyScope.FLAT, home.flats["1"])], 1.0)
    block_flats(store, SYSTEM, [home.flats["1"]], NewBlock("request", 1.0), 1.0)
    with store.reading() as connection:
        id = connection.scalar(sa.select(KINDS.c.id).where(KINDS.c.code == "request"))
    assert id is not None
    desk.update(SYSTEM, KINDS_RESOURCE, id, {"stops_keys": True})
    assert [each.wanted for each in panels_of_key(store, SYSTEM, key)] == [False]
    desk.update(SYSTEM, KINDS_RESOURCE, id, {"stops_keys": False})
    assert [each.wanted for each in panels_of_key(store, SYSTEM, key)] == [True]


def test_what_stands_says_what_it_stops(store: Store, home: Home) -> None:
    flat = home.flats["1"]
    change_kind(store, "technical", stops_calls=False, stops_app=True)
    block_flats(store, SYSTEM, [flat], NewBlock("technical", NOW - 5, NOW + 5), NOW)

    (found,) = standing_blocks(store, SYSTEM, flat, NOW)

    assert (found.stops_calls, found.stops_app, found.stops_keys) == (False, True, False)
    with store.reading() as connection:
        called = find(connection, "p1", "1", NOW).flat
    assert called is not None
    assert called.blocks == ()


def test_a_flat_under_every_kind_of_block_is_no_obstacle_to_its_panels_sos(store: Store, home: Home) -> None:
    with store.reading() as connection:
        before = read_panel(connection, "p1")
        codes = connection.scalars(sa.select(KINDS.c.code)).all()
    for code in codes:
        change_kind(store, code, stops_calls=True, stops_app=True, stops_keys=True)
        block_flats(store, SYSTEM, list(home.flats.values()), NewBlock(code, NOW), NOW)

    with store.reading() as connection:
        called = find(connection, "p1", "1", NOW).flat
        assert called is not None
        assert set(called.blocks) == set(codes)
        assert read_panel(connection, "p1") == before  # all that a 112 call asks of the CRM


def test_a_group_with_the_right_everywhere_blocks_in_every_house(store: Store, home: Home) -> None:
    who = Who("employee:8", "Ilya", Rights({Right.BLOCKS_SET: EVERYWHERE}))
    done, _ = block_flats(store, who, [home.flats["1"], home.flat_away], NewBlock("request", NOW), NOW)
    assert len(done.flats) == 2
