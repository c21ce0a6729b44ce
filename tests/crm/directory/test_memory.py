"""The directory's memory: fresh answers, what is kept, lookups that go together."""

from __future__ import annotations

import sqlalchemy as sa
import trio

from crm.directory.directory import Directory, DirectoryAway
from crm.model import BlockKind, Flat
from tests.crm.directory.door import DEADLINE_S, Door, home, until
from tests.crm.houses import Houses

NOW = 1_800_000_000.0


async def test_a_fresh_answer_comes_from_memory(door: Door, houses: Houses) -> None:
    flat = home(houses)
    asked = Directory(door)

    first = await asked.look_up("p1", "42", DEADLINE_S)
    second = await asked.look_up("p1", "42", DEADLINE_S)

    assert first == second
    assert first.flat is not None
    assert (first.flat.id, first.stale) == (flat, False)
    assert (asked.hits, asked.asked, asked.stale, asked.away) == (1, 1, 0, 0)
    assert door.opened == 1


async def test_an_answer_that_is_no_longer_fresh_is_asked_for_again(door: Door, houses: Houses) -> None:
    flat = home(houses)
    asked = Directory(door, fresh_s=0.0)
    await asked.look_up("p1", "42", DEADLINE_S)
    houses.account("new", flat)

    lookup = await asked.look_up("p1", "42", DEADLINE_S)

    assert lookup.flat is not None
    assert [a.sip_user for a in lookup.flat.accounts] == ["a-p1", "new"]
    assert asked.asked == 2


async def test_times_of_blocks_and_auto_open_hold_in_memory(door: Door, houses: Houses) -> None:
    flat = home(houses)
    houses.block(flat, BlockKind.DEBT, NOW + 10, NOW + 20)
    with houses.store.session() as session:
        session.execute(sa.update(Flat).values(auto_open_until=NOW + 5))
    now = [NOW]
    asked = Directory(door, fresh_s=1000, wall_clock=lambda: now[0])

    seen = []
    for now[0] in (NOW, NOW + 5, NOW + 10, NOW + 20):
        lookup = await asked.look_up("p1", "42", DEADLINE_S)
        assert lookup.flat is not None
        seen.append((lookup.flat.auto_open, lookup.flat.blocks))

    assert seen == [(True, ()), (False, ()), (False, ("debt",)), (False, ())]
    assert asked.asked == 1


async def test_what_is_unknown_is_an_answer_and_not_kept(door: Door, houses: Houses) -> None:
    home(houses)
    asked = Directory(door)

    assert (await asked.look_up("p1", "43", DEADLINE_S)).flat is None
    assert (await asked.look_up("nobody", "42", DEADLINE_S)).panel is None

    assert len(asked) == 0
    assert asked.away == 0


async def test_a_flat_that_is_gone_is_forgotten(door: Door, houses: Houses) -> None:
    home(houses)
    asked = Directory(door, fresh_s=0.0)
    await asked.look_up("p1", "42", DEADLINE_S)
    with houses.store.session() as session:
        session.execute(sa.delete(Flat))

    assert (await asked.look_up("p1", "42", DEADLINE_S)).flat is None
    assert len(asked) == 0


async def test_memory_keeps_the_flats_that_were_used_last(door: Door, houses: Houses) -> None:
    for n in range(3):
        home(houses, f"p{n}")
    asked = Directory(door, fresh_s=1000, known_flats=2)
    for user in ("p0", "p1", "p0", "p2"):
        await asked.look_up(user, "42", DEADLINE_S)

    await asked.look_up("p0", "42", DEADLINE_S)

    assert len(asked) == 2
    assert (asked.hits, asked.asked) == (2, 3)


async def test_lookups_that_wait_together_go_in_one_hop(door: Door, houses: Houses) -> None:
    flats = {f"p{n}": home(houses, f"p{n}") for n in range(20)}
    asked = Directory(door)
    found: dict[str, int] = {}

    async def look_up(user: str) -> None:
        lookup = await asked.look_up(user, "42", DEADLINE_S)
        assert lookup.flat is not None
        found[user] = lookup.flat.id

    async with trio.open_nursery() as nursery:
        for user in flats:
            nursery.start_soon(look_up, user)

    assert found == flats
    assert door.opened == 2  # the first alone, the others when it was back


async def test_one_question_is_asked_once_for_all_who_wait_for_it(door: Door, houses: Houses) -> None:
    home(houses, "p1")
    home(houses, "p2")
    asked = Directory(door, fresh_s=0.0)
    async with trio.open_nursery() as nursery:
        for user in ("p1", "p2", "p2", "p2"):
            nursery.start_soon(asked.look_up, user, "42", DEADLINE_S)

    assert door.opened == 2
    assert asked.asked == 4


async def test_a_caller_that_gives_up_takes_nobody_along(door: Door, houses: Houses) -> None:
    flat = home(houses)
    asked = Directory(door)
    door.open.clear()
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as given_up:
            nursery.start_soon(_cancel_when, given_up, door)
            await asked.look_up("p1", "42", DEADLINE_S)
    assert given_up.cancelled_caught
    door.open.set()

    lookup = await asked.look_up("p1", "42", DEADLINE_S)

    assert lookup.flat is not None
    assert lookup.flat.id == flat
    assert asked.why_away == ""


async def _cancel_when(scope: trio.CancelScope, door: Door) -> None:
    await until("a thread is inside", lambda: door.inside)
    scope.cancel()


async def test_one_flats_odd_row_fails_no_other_lookup(door: Door, houses: Houses) -> None:
    home(houses, "p1")
    home(houses, "p2")
    asked = Directory(door, fresh_s=0.0)
    with houses.store.transaction() as connection:
        connection.exec_driver_sql("UPDATE phones SET platform = 'carrier pigeon' WHERE push_token = 't-p1'")
    outcomes: dict[str, str] = {}

    async def look_up(user: str) -> None:
        try:
            await asked.look_up(user, "42", DEADLINE_S)
            outcomes[user] = ""
        except DirectoryAway as error:
            outcomes[user] = str(error)

    async with trio.open_nursery() as nursery:
        for user in ("p9", "p1", "p2"):
            nursery.start_soon(look_up, user)

    assert (outcomes["p9"], outcomes["p2"]) == ("", "")
    assert "carrier pigeon" in outcomes["p1"]
    assert asked.why_away == ""


async def test_a_cancelled_caller_is_cancelled_even_when_memory_has_the_answer(
    door: Door, houses: Houses
) -> None:
    home(houses)
    asked = Directory(door, fresh_s=1000)
    await asked.look_up("p1", "42", DEADLINE_S)

    with trio.CancelScope() as scope:
        scope.cancel()
        await asked.look_up("p1", "42", DEADLINE_S)

    assert scope.cancelled_caught
