"""What the kind of a block does to a visitor's call: whether it is refused, and what he hears."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from crm.directory.lookup import Lookup
from crm.model import BlockKind, FlatBlock, table
from crm.store import Store
from crm.tables.blocks import BlockKindRow
from tests.crm.directory.test_lookup import NOW, Dial, dial
from tests.crm.houses import Houses

__all__ = ["dial"]


@pytest.fixture
def flat(houses: Houses) -> int:
    house = houses.house("5")
    entrance = houses.entrance("п. 1", house)
    houses.panel("p1", entrance)
    return houses.flat(house, "42", entrance, auto_open_until=NOW + 10)


def blocks(lookup: Lookup) -> tuple[str, ...]:
    assert lookup.flat is not None
    return lookup.flat.blocks


def change_kind(store: Store, code: str, **values: object) -> None:
    kinds = table(BlockKindRow)
    with store.transaction() as connection:
        connection.execute(sa.update(kinds).where(kinds.c.code == code).values(**values))


def test_only_a_kind_that_stops_calls_refuses_a_visitor(houses: Houses, dial: Dial, flat: int) -> None:
    change_kind(houses.store, "technical", stops_calls=False, stops_keys=True, prompt="technical")
    houses.block(flat, BlockKind.TECHNICAL, NOW)
    found = dial("p1", "42").flat
    assert found is not None
    assert (found.blocks, found.prompt, found.auto_open) == ((), "", True)
    houses.block(flat, BlockKind.DEBT, NOW)
    assert blocks(dial("p1", "42")) == ("debt",)


def test_the_visitor_hears_the_prompt_of_the_kind_that_stands_longest_of_those_that_have_one(
    houses: Houses, dial: Dial, flat: int
) -> None:
    change_kind(houses.store, "debt", prompt="owes")
    change_kind(houses.store, "admin", prompt="ask-us")
    houses.block(flat, BlockKind.REQUEST, NOW)
    houses.block(flat, BlockKind.ADMIN, NOW + 20)
    houses.block(flat, BlockKind.DEBT, NOW + 10, NOW + 30)
    found = [dial("p1", "42", NOW + at).flat for at in (0, 10, 20, 30)]
    assert [each.prompt for each in found if each] == ["", "owes", "owes", "ask-us"]


def test_a_kind_that_nobody_knows_stops_calls(houses: Houses, dial: Dial, flat: int) -> None:
    with houses.store.session() as session:
        session.add(FlatBlock(flat_id=flat, kind="old", since=NOW, until=None))
    assert blocks(dial("p1", "42")) == ("old",)
