"""Debts and contracts from billing: blocks set and taken back, contracts given to flats, read on where it stopped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from crm.companies import billing_feeds, debts
from crm.companies.billing import BillingAway, BillingNonsense
from crm.companies.billing_feeds import Feed, feed_state, read_feed
from crm.companies.debts import place_known, settle, unknown_contracts, unknown_debts
from crm.directory.lookup import find
from crm.keys.panels import sync_flats
from crm.model import BlockKind, Flat, FlatBlock, House, table
from crm.store import Store
from crm.tables.blocks import BlockKindRow
from crm.tables.keys import Key, KeyBinding, KeyDelivery, KeyScope, Technology
from testbed.billing import Fault
from tests.crm.companies.world import World, billing_world
from tests.crm.houses import Houses

NOW = 1_795_226_400.0
BLOCKS, FLATS = table(FlatBlock), table(Flat)
REASON = "1250.50 ₽, 2026-10-01"


@pytest.fixture
def world() -> Iterator[World]:
    with billing_world() as world:
        yield world


@pytest.fixture
def house(store: Store, houses: Houses) -> int:
    """With a FIAS id and the operator's own."""
    id = houses.house("5")
    with store.transaction() as connection:
        connection.execute(sa.update(House).where(House.id == id).values(fias="f-1", own_id="H-1"))
    return id


def flat(store: Store, houses: Houses, house: int, number: str, contract: str = "") -> int:
    id = houses.flat(house, number)
    with store.transaction() as connection:
        connection.execute(sa.update(FLATS).where(FLATS.c.id == id).values(contract=contract))
    return id


def read(store: Store, world: World, feed: Feed = Feed.DEBTS, now: float = NOW) -> int | None:
    return read_feed(store, world.client, world.settings, feed, lambda: now)


def blocks(store: Store, flat_id: int) -> list[Any]:
    query = sa.select(BLOCKS).where(BLOCKS.c.flat_id == flat_id).order_by(BLOCKS.c.id)
    with store.reading() as connection:
        return [*connection.execute(query)]


def contract_of(store: Store, flat_id: int) -> str:
    with store.reading() as connection:
        found: str = connection.execute(sa.select(FLATS.c.contract).where(FLATS.c.id == flat_id)).scalar_one()
        return found


def changes(store: Store) -> list[tuple[str, int, str]]:
    with store.reading() as connection:
        rows = connection.execute(sa.text("SELECT who, entity_id, action FROM changes ORDER BY id"))
        return [(row.who, row.entity_id, row.action) for row in rows]


# --- debts ---------------------------------------------------------------------------------------------------------


def test_a_debt_blocks_the_flats_of_its_contract_until_it_is_paid(
    store: Store, houses: Houses, house: int, world: World
) -> None:
    one = flat(store, houses, house, "42", "A-1")
    other = flat(store, houses, house, "43", "A-2")
    world.fake.owes("A-1", "1250.50")
    assert read(store, world) == 1
    (block,) = blocks(store, one)
    assert (block.kind, block.source, block.reason) == ("debt", "billing", REASON)
    assert (block._mapping["from"], block.until) == (NOW, None)
    assert blocks(store, other) == []
    assert changes(store) == [("billing", one, "block")]

    world.fake.owes("A-1", "0")
    assert read(store, world, now=NOW + 900) == 1
    (block,) = blocks(store, one)
    assert block.until == NOW + 900
    assert changes(store)[1:] == [("billing", one, "unblock")]


def test_a_debtors_visitor_is_refused_and_one_who_paid_rings_again(
    store: Store, houses: Houses, house: int, world: World
) -> None:
    entrance = houses.entrance("п. 1", house)
    houses.panel("p1", entrance)
    id = houses.flat(house, "42", entrance)
    with store.transaction() as connection:
        connection.execute(sa.update(FLATS).where(FLATS.c.id == id).values(contract="A-1"))

    def standing(now: float) -> tuple[str, ...]:
        with store.reading() as connection:
            found = find(connection, "p1", "42", now).flat
            assert found is not None
            return found.blocks

    world.fake.owes("A-1", "1250.50")
    read(store, world)
    assert standing(NOW + 1) == ("debt",)
    world.fake.owes("A-1", "0")
    read(store, world, now=NOW + 900)
    assert standing(NOW + 901) == ()


def test_the_last_word_of_a_page_counts(store: Store, houses: Houses, house: int, world: World) -> None:
    one, two = (flat(store, houses, house, str(n), f"A-{n}") for n in (1, 2))
    for amount in ("100", "0"):
        world.fake.owes("A-1", amount)
    for amount in ("0", "-5", "100"):
        world.fake.owes("A-2", amount)
    read(store, world)
    assert blocks(store, one) == []
    assert len(blocks(store, two)) == 1


def test_another_amount_changes_the_reason_and_sets_no_second_block(
    store: Store, houses: Houses, house: int, world: World
) -> None:
    one = flat(store, houses, house, "42", "A-1")
    world.fake.owes("A-1", "100")
    read(store, world)
    world.fake.owes("A-1", "200")
    world.fake.owes("A-1", "200")
    read(store, world, now=NOW + 900)
    (block,) = blocks(store, one)
    assert block.reason == "200 ₽, 2026-10-01"
    assert block.until is None
    assert changes(store) == [("billing", one, "block"), ("billing", one, "update")]


def test_a_block_by_hand_is_not_billings_to_take_back(
    store: Store, houses: Houses, house: int, world: World
) -> None:
    one = flat(store, houses, house, "42", "A-1")
    by_hand = houses.block(one, BlockKind.DEBT, NOW - 10)
    world.fake.owes("A-1", "100")
    read(store, world)
    world.fake.owes("A-1", "0")
    read(store, world, now=NOW + 900)
    mine, billings = blocks(store, one)
    assert (mine.id, mine.until) == (by_hand, None)
    assert billings.until == NOW + 900


def test_a_debt_of_an_unknown_contract_is_reported_and_holds_once_a_flat_has_it(
    store: Store, houses: Houses, house: int, world: World
) -> None:
    one = flat(store, houses, house, "42")
    world.fake.owes("A-1", "1250.50")
    read(store, world)
    (unknown,) = unknown_debts(store)
    assert (unknown.contract, unknown.amount, unknown.told_at) == ("A-1", "1250.50", NOW)
    world.fake.contract("A-1", "42", own_id="H-1")
    assert read(store, world, Feed.CONTRACTS) == 1
    assert unknown_debts(store) == []
    assert [each.reason for each in blocks(store, one)] == [REASON]


def test_a_flat_that_loses_its_contract_loses_the_block(
    store: Store, houses: Houses, house: int, world: World
) -> None:
    one = flat(store, houses, house, "42", "A-1")
    world.fake.owes("A-1", "100")
    read(store, world)
    with store.transaction() as connection:
        connection.execute(sa.update(FLATS).values(contract=""))
        settle(connection, [one], NOW + 60)
    assert [each.until for each in blocks(store, one)] == [NOW + 60]


# --- contracts -----------------------------------------------------------------------------------------------------


def test_a_contract_goes_to_the_flat_by_either_id_of_its_house(
    store: Store, houses: Houses, house: int, world: World
) -> None:
    one, two, three = (flat(store, houses, house, str(n)) for n in (1, 2, 3))
    world.fake.contract("A-1", "1", fias="f-1")
    world.fake.contract("A-2", "2", own_id="H-1")
    world.fake.contract("A-3", "3", fias="", own_id="")
    read(store, world, Feed.CONTRACTS)
    assert [contract_of(store, each) for each in (one, two, three)] == ["A-1", "A-2", ""]
    assert [each.contract for each in unknown_contracts(store)] == ["A-3"]
    assert changes(store) == [("billing", one, "update"), ("billing", two, "update")]


def test_a_contract_that_moves_takes_its_debt_along(
    store: Store, houses: Houses, house: int, world: World
) -> None:
    one, two = flat(store, houses, house, "1", "A-1"), flat(store, houses, house, "2")
    world.fake.owes("A-1", "100")
    read(store, world)
    world.fake.contract("A-1", "2", fias="f-1")
    read(store, world, Feed.CONTRACTS, NOW + 60)
    assert (contract_of(store, one), contract_of(store, two)) == ("", "A-1")
    assert [each.until for each in blocks(store, one)] == [NOW + 60]
    assert [each.until for each in blocks(store, two)] == [None]
    world.fake.contract("A-1", "2", active=False, fias="f-1")
    read(store, world, Feed.CONTRACTS, NOW + 1000)
    assert contract_of(store, two) == ""
    assert [each.until for each in blocks(store, two)] == [NOW + 1000]
    assert unknown_contracts(store) == []


def test_two_contracts_that_change_places_do(store: Store, houses: Houses, house: int, world: World) -> None:
    one, two = flat(store, houses, house, "1", "A-1"), flat(store, houses, house, "2", "A-2")
    world.fake.contract("A-1", "2", fias="f-1")
    world.fake.contract("A-2", "1", fias="f-1")
    read(store, world, Feed.CONTRACTS)
    assert (contract_of(store, one), contract_of(store, two)) == ("A-2", "A-1")


def test_an_unknown_flat_gets_its_contract_when_it_is_there(
    store: Store, houses: Houses, house: int, world: World
) -> None:
    world.fake.contract("A-1", "42", fias="f-1")
    world.fake.owes("A-1", "100")
    read(store, world, Feed.CONTRACTS)
    read(store, world)
    (unplaced,) = unknown_contracts(store)
    assert (unplaced.contract, unplaced.fias, unplaced.flat) == ("A-1", "f-1", "42")
    one = flat(store, houses, house, "42")
    assert place_known(store, NOW + 60) == 1
    assert contract_of(store, one) == "A-1"
    assert len(blocks(store, one)) == 1
    assert unknown_contracts(store) == []


# --- reading -------------------------------------------------------------------------------------------------------


def test_reading_goes_on_behind_the_last_page_that_was_done(
    store: Store, houses: Houses, house: int, world: World
) -> None:
    flats = [flat(store, houses, house, str(n), f"A-{n}") for n in range(6)]
    for n in range(6):
        world.fake.owes(f"A-{n}", "100")
    world.fake.page = 2
    world.fake.script.append(Fault.NONE)
    world.fake.fault = Fault.HALF
    with pytest.raises(BillingAway):
        read(store, world)
    assert [len(blocks(store, each)) for each in flats] == [1, 1, 0, 0, 0, 0]
    state = feed_state(store, Feed.DEBTS)
    assert (state.cursor, state.tries, state.read_at) == ("2", 1, None)
    assert state.error
    assert read(store, world, now=NOW + 1) is None  # not yet

    world.fake.fault = Fault.NONE
    world.fake.asked.clear()
    assert read(store, world, now=state.due_at) == 4
    assert [each.query["after"] for each in world.fake.asked] == ["2", "4"]
    assert [len(blocks(store, each)) for each in flats] == [1] * 6
    state = feed_state(store, Feed.DEBTS)
    assert (state.cursor, state.tries, state.error) == ("6", 0, "")


def test_a_crash_within_a_page_leaves_nothing_of_it(
    store: Store, houses: Houses, house: int, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    flats = [flat(store, houses, house, str(n), f"A-{n}") for n in range(2)]
    for n in range(2):
        world.fake.owes(f"A-{n}", "100")
    real, left = debts._settle_one, [1]

    def breaks(*args: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("the power is gone")
        real(*args)

    monkeypatch.setattr(debts, "_settle_one", breaks)
    with pytest.raises(RuntimeError):
        read(store, world)
    monkeypatch.undo()
    assert [len(blocks(store, each)) for each in flats] == [0, 0]
    assert feed_state(store, Feed.DEBTS).cursor == ""
    assert read(store, world, now=NOW + 1) is None  # another process may be at it
    assert read(store, world, now=NOW + 120) == 2
    assert [len(blocks(store, each)) for each in flats] == [1, 1]


def test_a_feed_that_was_read_is_due_after_its_minutes(store: Store, world: World) -> None:
    assert read(store, world) == 0
    assert read(store, world, now=NOW + 899) is None
    assert read(store, world, now=NOW + 900) == 0
    assert len(world.fake.asked) == 2


def test_two_processes_read_a_feed_once(store: Store, world: World) -> None:
    assert billing_feeds._claim(store, world.settings, Feed.DEBTS, NOW)
    assert not billing_feeds._claim(store, world.settings, Feed.DEBTS, NOW)
    assert read(store, world, now=NOW + 1) is None


def test_one_that_was_overtaken_writes_nothing(
    store: Store, houses: Houses, house: int, world: World
) -> None:
    one = flat(store, houses, house, "1", "A-1")
    world.fake.owes("A-1", "100")
    page = world.client.debts("")
    assert read(store, world) == 1
    assert not billing_feeds._take(store, world.settings, Feed.DEBTS, "", page, NOW + 5)
    assert len(blocks(store, one)) == 1


def test_an_unreadable_page_does_nothing(store: Store, houses: Houses, house: int, world: World) -> None:
    one = flat(store, houses, house, "1", "A-1")
    world.fake.owes("A-1", "100")
    world.fake.debts.append({"contract": "A-2"})
    with pytest.raises(BillingNonsense):
        read(store, world)
    assert blocks(store, one) == []
    assert feed_state(store, Feed.DEBTS).cursor == ""


def test_a_cursor_that_is_gone_begins_anew_and_drops_what_is_not_told_again(
    store: Store, houses: Houses, house: int, world: World
) -> None:
    one, two, three = (flat(store, houses, house, str(n), f"A-{n}") for n in (1, 2, 3))
    for n in (1, 2):
        world.fake.owes(f"A-{n}", "100")
    read(store, world)
    world.fake.debts.clear()
    for n in (2, 3):
        world.fake.owes(f"A-{n}", "100")
    world.fake.page = 1
    world.fake.script.extend([Fault.GONE, Fault.NONE])
    world.fake.fault = Fault.AWAY
    with pytest.raises(BillingAway):
        read(store, world, now=NOW + 900)
    assert [len(blocks(store, each)) for each in (one, two, three)] == [1, 1, 0]
    assert [each.until for each in blocks(store, one)] == [None]  # not before all is read

    world.fake.fault = Fault.NONE
    read(store, world, now=NOW + 9000)
    assert [[each.until for each in blocks(store, id)] for id in (one, two, three)] == [
        [NOW + 9000],
        [None],
        [None],
    ]
    assert feed_state(store, Feed.DEBTS).anew_at is None


def test_where_a_debt_stops_keys_the_panels_are_told(
    store: Store, houses: Houses, house: int, world: World
) -> None:
    entrance = houses.entrance("п. 1", house)
    panel = houses.panel("p1", entrance)
    id = houses.flat(house, "42", entrance)
    with store.transaction() as connection:
        connection.execute(sa.update(FLATS).where(FLATS.c.id == id).values(contract="A-1"))
        connection.execute(sa.update(BlockKindRow).where(BlockKindRow.code == "debt").values(stops_keys=True))
        key = connection.execute(
            sa.insert(Key)
            .values(uid="A1B2C3D4", created_at=NOW, technology=Technology.MIFARE)
            .returning(Key.id)
        ).scalar_one()
        bound = {"key_id": key, "scope": KeyScope.FLAT, "ref_id": id}
        connection.execute(sa.insert(KeyBinding).values(bound))
        sync_flats(connection, [id], NOW)
    query = sa.select(KeyDelivery.domophone_id, KeyDelivery.wanted)

    def wanted() -> list[Any]:
        with store.reading() as connection:
            return [tuple(row) for row in connection.execute(query)]

    try:
        assert wanted() == [(panel, True)]
        world.fake.owes("A-1", "100")
        read(store, world)
        assert wanted() == [(panel, False)]
        world.fake.owes("A-1", "0")
        read(store, world, now=NOW + 900)
        assert wanted() == [(panel, True)]
    finally:  # built-in kinds stay for the next test
        with store.transaction() as connection:
            mine = sa.update(BlockKindRow).where(BlockKindRow.code == "debt")
            connection.execute(mine.values(stops_keys=False))
