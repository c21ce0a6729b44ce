"""Who is called: the ways of dialling, gates, blocks, auto-open and switches, asked of a real database."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from config import Ringing
from crm.directory.directory import Lookup, find
from crm.directory.lookup import _FLATS, _PANEL, _PEOPLE
from crm.model import BlockKind, Dialling, Vendor
from crm.statement import Statement
from crm.store import Store
from tests.crm.houses import Houses

NOW = 1_800_000_000.0

Dial = Callable[..., Lookup]


@pytest.fixture
def houses(store: Store) -> Houses:
    return Houses(store)


@pytest.fixture
def dial(store: Store) -> Dial:
    def dial(sip_user: str, dialled: str, now: float = NOW) -> Lookup:
        with store.reading() as connection:
            return find(connection, sip_user, dialled, now)

    return dial


def flat_of(lookup: Lookup) -> int | None:
    return lookup.flat.id if lookup.flat else None


def test_a_panel_is_told_with_address_city_and_settings(houses: Houses, dial: Dial) -> None:
    entrance = houses.entrance("п. 2", houses.house("5"))
    id = houses.panel("p1", entrance, ringing=Ringing.PROGRESS_183)
    panel = dial("p1", "42").panel
    assert panel is not None
    assert (panel.id, panel.sip_user, panel.mac, panel.vendor) == (id, "p1", "000000000001", Vendor.SOKOL)
    assert panel.address == "Челябинск, ул. Ленина 5, п. 2"
    assert (panel.city_fias, panel.door_digits, panel.ringing) == ("c-1", "5", Ringing.PROGRESS_183)


@pytest.mark.parametrize("sip_user", ["p2", "nobody", "", "P1", "p1' OR '1'='1", "p1\0"])
def test_an_unknown_or_inactive_panel_is_none(houses: Houses, dial: Dial, sip_user: str) -> None:
    entrance = houses.entrance("п. 1", houses.house("5"))
    houses.panel("p1", entrance)
    houses.panel("p2", entrance, active=False)
    assert dial(sip_user, "1") == Lookup(None, None)


def test_a_panel_that_serves_nothing_yet_is_known_and_finds_no_flat(houses: Houses, dial: Dial) -> None:
    houses.panel("p1")
    lookup = dial("p1", "1")
    assert lookup.panel is not None
    assert lookup.panel.address == ""
    assert lookup.flat is None


class TestFlatNumberAsShown:
    def test_finds_the_flat_of_the_own_house(self, houses: Houses, dial: Dial) -> None:
        five, seven = houses.house("5"), houses.house("7")
        entrance, other = houses.entrance("п. 1", five), houses.entrance("п. 1", seven)
        houses.panel("p1", entrance)
        flat = houses.flat(five, "42", entrance)
        houses.flat(seven, "42", other)
        found = dial("p1", "42").flat
        assert found is not None
        assert (found.id, found.number, found.address) == (flat, "42", "Челябинск, ул. Ленина 5, п. 1")

    @pytest.mark.parametrize(
        "dialled", ["43", "042", "4", "", "42 ", "1#42", "%", "9" * 50, "42\r\nX: y", "42\0"]
    )
    def test_what_fits_no_flat_finds_none(self, houses: Houses, dial: Dial, dialled: str) -> None:
        house = houses.house("5")
        entrance = houses.entrance("п. 1", house)
        houses.panel("p1", entrance)
        houses.flat(house, "42", entrance)
        lookup = dial("p1", dialled)
        assert lookup.panel is not None
        assert lookup.flat is None

    def test_a_flat_behind_another_entrance_is_not_called(self, houses: Houses, dial: Dial) -> None:
        house = houses.house("5")
        first, second = houses.entrance("п. 1", house), houses.entrance("п. 2", house)
        houses.panel("p1", first)
        houses.flat(house, "42", second)
        assert dial("p1", "42").flat is None

    def test_a_flat_is_called_from_each_of_its_entrances(self, houses: Houses, dial: Dial) -> None:
        house = houses.house("5")
        front, back = houses.entrance("п. 1", house), houses.entrance("задняя дверь", house)
        houses.panel("front", front)
        houses.panel("back", back)
        houses.panel("both", front, back)
        flat = houses.flat(house, "42", front, back)
        assert [flat_of(dial(user, "42")) for user in ("front", "back", "both")] == [flat] * 3
        found = dial("back", "42").flat
        assert found is not None
        assert found.address == "Челябинск, ул. Ленина 5, задняя дверь"

    def test_the_number_at_the_panel_goes_before_the_own_one(self, houses: Houses, dial: Dial) -> None:
        house = houses.house("5")
        entrance = houses.entrance("п. 1", house)
        houses.panel("p1", entrance)
        moved = houses.flat(house, "142", entrance, panel_number="42")
        houses.flat(house, "42", entrance, panel_number="43")
        assert flat_of(dial("p1", "42")) == moved

    def test_a_number_that_two_houses_have_is_not_guessed(self, houses: Houses, dial: Dial) -> None:
        five, seven = houses.house("5"), houses.house("7")
        gate = houses.entrance("ворота", five, seven)
        houses.panel("gate", gate)
        houses.flat(five, "42", gate)
        houses.flat(seven, "42", gate)
        only = houses.flat(seven, "50", gate)
        assert dial("gate", "42").flat is None
        assert flat_of(dial("gate", "50")) == only

    def test_a_number_that_two_houses_have_is_told_by_the_panels_own(
        self, houses: Houses, dial: Dial
    ) -> None:
        five, seven = houses.house("5"), houses.house("7")
        gate = houses.entrance("ворота", five, seven)
        houses.panel("gate", gate)
        near = houses.flat(five, "42", gate)
        far = houses.flat(seven, "42", gate, panel_number="142")
        assert flat_of(dial("gate", "42")) == near
        assert flat_of(dial("gate", "142")) == far

    def test_the_panels_own_number_decides_between_two_flats_that_have_it(
        self, houses: Houses, dial: Dial
    ) -> None:
        five, seven = houses.house("5"), houses.house("7")
        gate = houses.entrance("ворота", five, seven)
        houses.panel("gate", gate)
        near = houses.flat(five, "42", gate, panel_number="42")
        houses.flat(seven, "42", gate)
        assert flat_of(dial("gate", "42")) == near

    def test_a_panels_own_number_given_twice_is_not_guessed(self, houses: Houses, dial: Dial) -> None:
        house = houses.house("5")
        entrance = houses.entrance("п. 1", house)
        houses.panel("p1", entrance)
        houses.flat(house, "1", entrance, panel_number="42")
        houses.flat(house, "2", entrance, panel_number="42")
        assert dial("p1", "42").flat is None


class TestPrefixAndFlat:
    @pytest.mark.parametrize(
        ("dialled", "house"),
        [("10042", "5"), ("1#42", "5"), ("1#0042", "5"), ("20042", "7"), ("2#42", "7"), ("2%2342", "7")],
    )
    def test_the_prefix_says_which_house(self, houses: Houses, dial: Dial, dialled: str, house: str) -> None:
        five, seven = houses.house("5"), houses.house("7")
        gate = houses.entrance("ворота", five, seven, prefixes=("1", "2"))
        houses.panel("gate", gate, dialling=Dialling.PREFIX_FLAT)
        flats = {"5": houses.flat(five, "42", gate), "7": houses.flat(seven, "42", gate)}
        found = dial("gate", dialled).flat
        assert found is not None
        assert found.id == flats[house]
        assert found.address == f"Челябинск, ул. Ленина {house}, ворота"

    @pytest.mark.parametrize(
        "dialled", ["42", "0042", "30042", "3#42", "#42", "1#", "1#43", "10000", "1#4#2", "1"]
    )
    def test_without_a_known_prefix_nobody_is_called(self, houses: Houses, dial: Dial, dialled: str) -> None:
        five, seven = houses.house("5"), houses.house("7")
        gate = houses.entrance("ворота", five, seven, prefixes=("1", "2"))
        houses.panel("gate", gate, dialling=Dialling.PREFIX_FLAT)
        houses.flat(five, "42", gate)
        houses.flat(seven, "42", gate)
        assert dial("gate", dialled).flat is None

    def test_prefixes_of_several_digits_and_flats_of_four(self, houses: Houses, dial: Dial) -> None:
        five, seven = houses.house("5"), houses.house("7")
        gate = houses.entrance("ворота", five, seven, prefixes=("12", "1"))
        houses.panel("gate", gate, dialling=Dialling.PREFIX_FLAT)
        long = houses.flat(five, "1204", gate)
        short = houses.flat(seven, "1204", gate)
        assert flat_of(dial("gate", "121204")) == long
        assert flat_of(dial("gate", "11204")) == short

    def test_one_panel_before_two_gates_takes_the_prefix_of_each(self, houses: Houses, dial: Dial) -> None:
        five, seven = houses.house("5"), houses.house("7")
        near, far = (
            houses.entrance("ворота", five, prefixes=("1",)),
            houses.entrance("калитка", seven, prefixes=("1",)),
        )
        houses.panel("gate", near, far, dialling=Dialling.PREFIX_FLAT)
        houses.flat(five, "42", near)
        houses.flat(seven, "42", far)
        only = houses.flat(seven, "7", far)
        assert dial("gate", "1#42").flat is None  # both houses have prefix 1: not guessed
        assert flat_of(dial("gate", "1#7")) == only

    def test_a_house_without_a_prefix_is_called_without_one(self, houses: Houses, dial: Dial) -> None:
        five, seven = houses.house("5"), houses.house("7")
        gate = houses.entrance("ворота", five, seven, prefixes=("", "2"))
        houses.panel("gate", gate, dialling=Dialling.PREFIX_FLAT)
        near, far = houses.flat(five, "42", gate), houses.flat(seven, "42", gate)
        assert flat_of(dial("gate", "42")) == near
        assert flat_of(dial("gate", "2#42")) == far


class TestStoredNumber:
    def test_finds_the_flat_by_what_the_panel_stores(self, houses: Houses, dial: Dial) -> None:
        house = houses.house("5")
        entrance = houses.entrance("п. 1", house)
        houses.panel("p1", entrance, dialling=Dialling.STORED)
        flat = houses.flat(house, "12", entrance, panel_number="112012")
        found = dial("p1", "112012").flat
        assert found is not None
        assert (found.id, found.number) == (flat, "12")

    def test_a_flats_own_number_means_nothing(self, houses: Houses, dial: Dial) -> None:
        house = houses.house("5")
        entrance = houses.entrance("п. 1", house)
        houses.panel("p1", entrance, dialling=Dialling.STORED)
        houses.flat(house, "12", entrance, panel_number="112012")
        houses.flat(house, "13", entrance)
        assert dial("p1", "12").flat is None
        assert dial("p1", "13").flat is None

    def test_another_panels_numbers_mean_nothing(self, houses: Houses, dial: Dial) -> None:
        house = houses.house("5")
        first, second = houses.entrance("п. 1", house), houses.entrance("п. 2", house)
        houses.panel("p1", first, dialling=Dialling.STORED)
        houses.flat(house, "12", second, panel_number="112012")
        assert dial("p1", "112012").flat is None


class TestBlocksAndAutoOpen:
    @pytest.fixture
    def flat(self, houses: Houses) -> int:
        house = houses.house("5")
        entrance = houses.entrance("п. 1", house)
        houses.panel("p1", entrance)
        return houses.flat(house, "42", entrance, auto_open_until=NOW + 10)

    def blocks(self, lookup: Lookup) -> tuple[str, ...]:
        assert lookup.flat is not None
        return lookup.flat.blocks

    def test_a_block_stands_from_its_beginning_to_its_end(
        self, houses: Houses, dial: Dial, flat: int
    ) -> None:
        houses.block(flat, BlockKind.REQUEST, NOW, NOW + 5)
        said = [self.blocks(dial("p1", "42", at)) for at in (NOW - 1, NOW, NOW + 4.9, NOW + 5)]
        assert said == [(), ("request",), ("request",), ()]

    def test_a_block_without_an_end_stands(self, houses: Houses, dial: Dial, flat: int) -> None:
        houses.block(flat, BlockKind.DEBT, NOW)
        assert self.blocks(dial("p1", "42", NOW + 1e9)) == ("debt",)

    def test_several_blocks_stand_at_once_each_kind_told_once(
        self, houses: Houses, dial: Dial, flat: int
    ) -> None:
        for kind in (BlockKind.DEBT, BlockKind.ADMIN, BlockKind.TECHNICAL, BlockKind.DEBT):
            houses.block(flat, kind, NOW - 5)
        houses.block(flat, BlockKind.REQUEST, NOW - 5, NOW - 1)
        assert sorted(self.blocks(dial("p1", "42"))) == ["admin", "debt", "technical"]

    def test_a_block_does_not_touch_the_neighbour(self, houses: Houses, dial: Dial, flat: int) -> None:
        with houses.store.reading() as connection:
            house, entrance = connection.execute(
                sa.text("SELECT house_id, entrance_id FROM flats JOIN entrance_flats ON flat_id = id")
            ).one()
        houses.flat(house, "43", entrance)
        houses.block(flat, BlockKind.DEBT, NOW)
        assert self.blocks(dial("p1", "43")) == ()

    @pytest.mark.usefixtures("flat")
    def test_auto_open_ends_by_itself(self, dial: Dial) -> None:
        opens = [found.auto_open for at in (NOW, NOW + 9, NOW + 10) if (found := dial("p1", "42", at).flat)]
        assert opens == [True, True, False]


class TestSwitches:
    @pytest.fixture
    def flats(self, houses: Houses) -> tuple[int, int]:
        house = houses.house("5")
        entrance = houses.entrance("п. 1", house)
        houses.panel("p1", entrance)
        return houses.flat(house, "42", entrance), houses.flat(house, "43", entrance)

    def users(self, lookup: Lookup) -> list[str]:
        assert lookup.flat is not None
        return [account.sip_user for account in lookup.flat.accounts]

    def tokens(self, lookup: Lookup) -> list[str]:
        assert lookup.flat is not None
        return [phone.token for account in lookup.flat.accounts for phone in account.phones]

    def test_every_account_rings_with_all_its_phones(
        self, houses: Houses, dial: Dial, flats: tuple[int, int]
    ) -> None:
        one, two = houses.account("acc1", flats[0]), houses.account("acc2", flats[0])
        houses.phone(two, "c")
        houses.phone(one, "a")
        houses.phone(one, "b", voip_token="voip-b")
        lookup = dial("p1", "42")
        assert self.users(lookup) == ["acc1", "acc2"]
        assert self.tokens(lookup) == ["a", "voip-b", "c"]
        assert self.users(dial("p1", "43")) == []

    def test_an_account_that_is_switched_off_for_a_flat_does_not_ring_for_it(
        self, houses: Houses, dial: Dial, flats: tuple[int, int]
    ) -> None:
        houses.account("acc1", flats[0], rings=False)
        houses.account("acc2", *flats)
        assert self.users(dial("p1", "42")) == ["acc2"]

    def test_a_phone_is_switched_off_for_one_flat_and_rings_for_the_other(
        self, houses: Houses, dial: Dial, flats: tuple[int, int]
    ) -> None:
        account = houses.account("acc1", *flats)
        houses.phone(account, "a", off_for=flats[0])
        houses.phone(account, "b")
        assert self.tokens(dial("p1", "42")) == ["b"]
        assert self.tokens(dial("p1", "43")) == ["a", "b"]

    def test_an_account_without_a_phone_rings_and_one_whose_phones_are_all_off_does_not(
        self, houses: Houses, dial: Dial, flats: tuple[int, int]
    ) -> None:
        houses.account("hardware", flats[0])
        houses.phone(houses.account("asleep", *flats), "a", off_for=flats[0])
        assert self.users(dial("p1", "42")) == ["hardware"]
        assert self.users(dial("p1", "43")) == ["asleep"]


@pytest.mark.parametrize("statement", [_PANEL, _FLATS, _PEOPLE])
def test_no_statement_of_a_lookup_reads_a_whole_table(store: Store, statement: Statement) -> None:
    if not store.is_sqlite:
        pytest.skip("a small PostgreSQL table is rightly read as a whole")
    with store.reading() as connection:
        sql = str(statement.clause.compile(connection.engine))
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", (None,) * sql.count("?")).all()
    assert plan
    assert not [row[3] for row in plan if row[3].startswith("SCAN")]
