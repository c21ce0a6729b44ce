"""The directory while its database is away, hangs, or is back."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from crm.directory import directory
from crm.directory.directory import Directory, DirectoryAway
from tests.crm.directory.door import DEADLINE_S, Door, home, until
from tests.crm.houses import Houses


async def test_a_database_that_is_gone_leaves_known_flats_ringing(
    file: Path, door: Door, houses: Houses
) -> None:
    home(houses, "p1")
    home(houses, "p2")
    asked = Directory(door, fresh_s=0.0, probe_s=0.02)
    known = await asked.look_up("p1", "42", DEADLINE_S)
    async with trio.open_nursery() as nursery:
        await nursery.start(asked.run)
        door.close()
        for suffix in ("", "-wal", "-shm"):
            part = file.with_name(file.name + suffix)
            if part.exists():
                part.rename(file.with_name("away" + suffix))

        stale = await asked.look_up("p1", "42", DEADLINE_S)
        assert stale.stale
        assert stale.flat == known.flat
        with pytest.raises(DirectoryAway, match=r"p2 called 42.*unable to open"):
            await asked.look_up("p2", "42", DEADLINE_S)
        assert "unable to open" in asked.why_away
        assert (asked.stale, asked.away) == (1, 1)

        for suffix in ("", "-wal", "-shm"):
            part = file.with_name("away" + suffix)
            if part.exists():
                part.rename(file.with_name(file.name + suffix))
        await until("the database is back", lambda: not asked.why_away)
        back = await asked.look_up("p1", "42", DEADLINE_S)
        assert not back.stale
        assert (await asked.look_up("p2", "42", DEADLINE_S)).flat is not None
        nursery.cancel_scope.cancel()


async def test_nobody_waits_for_a_database_that_is_known_to_be_away(door: Door, houses: Houses) -> None:
    home(houses, "p1")
    asked = Directory(door, fresh_s=0.0)
    await asked.look_up("p1", "42", DEADLINE_S)
    door.open.clear()
    late = await asked.look_up("p1", "42", 0.05)
    opened = door.opened

    for _ in range(100):
        with trio.fail_after(1):
            assert (await asked.look_up("p1", "42", DEADLINE_S)).stale
        with pytest.raises(DirectoryAway, match=r"did not answer within 0\.05 s"):
            await asked.look_up("p9", "42", DEADLINE_S)

    assert late.stale
    assert door.opened == opened
    assert (asked.stale, asked.away) == (101, 100)


async def test_a_database_that_hangs_uses_up_no_threads(
    door: Door, houses: Houses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "LATE_S", 0.01)
    monkeypatch.setattr(directory, "FIRST_PROBE_S", 0.0)
    for n in range(30):
        home(houses, f"p{n}")
    asked = Directory(door, threads=3, probe_s=0.01)
    door.open.clear()
    async with trio.open_nursery() as nursery:
        await nursery.start(asked.run)
        failed = []

        async def look_up(user: str) -> None:
            try:
                await asked.look_up(user, "42", 0.3)
            except DirectoryAway as error:
                failed.append(error)

        async with trio.open_nursery() as calls:
            for n in range(30):
                calls.start_soon(look_up, f"p{n}")
        await trio.sleep(0.1)
        assert len(failed) == 30
        assert door.inside == door.most_inside == 3

        door.open.set()
        await until("the database is back", lambda: not asked.why_away)
        assert (await asked.look_up("p7", "42", DEADLINE_S)).flat is not None
        nursery.cancel_scope.cancel()
    assert door.most_inside <= 3


async def test_a_lookup_behind_a_hop_that_hangs_gets_another_thread(
    door: Door, houses: Houses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "LATE_S", 0.02)
    home(houses, "p1")
    home(houses, "p2")
    asked = Directory(door)
    door.open.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asked.look_up, "p1", "42", DEADLINE_S)
        await until("the first is inside", lambda: door.inside == 1)
        nursery.start_soon(asked.look_up, "p2", "42", DEADLINE_S)
        await until("the second is inside, too", lambda: door.inside == 2)
        door.open.set()

    assert (asked.asked, asked.away, asked.why_away) == (2, 0, "")


async def test_an_answer_that_comes_too_late_is_kept(door: Door, houses: Houses) -> None:
    home(houses)
    asked = Directory(door)
    door.open.clear()
    with pytest.raises(DirectoryAway):
        await asked.look_up("p1", "42", 0.02)
    door.open.set()

    await until("the thread is back", lambda: not asked.why_away)

    assert (await asked.look_up("p1", "42", 0.0)).flat is not None
    assert asked.hits == 1


async def test_a_database_of_an_older_schema_counts_as_away(door: Door, houses: Houses) -> None:
    home(houses)
    asked = Directory(door, fresh_s=0.0)
    await asked.look_up("p1", "42", DEADLINE_S)
    with houses.store.transaction() as connection:
        connection.exec_driver_sql("DROP VIEW sip_credentials")
        connection.exec_driver_sql("ALTER TABLE accounts RENAME TO holders")

    assert (await asked.look_up("p1", "42", DEADLINE_S)).stale
    assert "teledom db upgrade" in asked.why_away
