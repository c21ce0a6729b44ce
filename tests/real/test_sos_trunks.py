"""112 over trunks that fail, are silent, busy, or refuse a location: the dispatch is reached, or the duty desk is."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import trio

from crm.values.records import EntryKind, Outcome
from restarts import Backoff
from testbed.dispatch import open_dispatch
from testbed.pidf import sent_location
from testbed.sipp import open_phone, wait_for
from testbed.town_bed import TownBed, legs, open_node, visiting
from tests.real.test_sos import CHEL_1, PANEL, ROUNDS, alarms, invites, trunks


async def test_a_trunk_that_fails_is_left_for_the_next(place: TownBed, tmp_path: Path) -> None:
    async with (
        open_node(place, tmp_path) as node,
        open_dispatch(place.bed, "dispatch-1", refuses_with=503),
        open_dispatch(place.bed, "dispatch-2") as dispatch,
    ):
        async with visiting(place, PANEL, "112", talk_ms=100):
            await wait_for(dispatch, "INVITE")
            assert "trunk_down" in alarms(node)
        async with visiting(place, PANEL, "112", talk_ms=100):
            pass
        first, second = await node.calls(2)
    assert trunks(first) == ["dispatch-1", "dispatch-2"]
    assert trunks(second) == ["dispatch-2"], "what failed a moment ago is tried last"
    assert first.number == second.number


async def test_a_silent_trunk_is_left_after_four_seconds(own_place: TownBed, tmp_path: Path) -> None:
    # A bed of its own: an INVITE without any reply is repeated for half a minute, and comes to the next dispatch there.
    place, folder = own_place, tmp_path / "node"
    folder.mkdir()
    async with (
        open_node(place, folder) as node,
        open_dispatch(place.bed, "dispatch-1", silent=True),
        open_dispatch(place.bed, "dispatch-2") as dispatch,
        visiting(place, PANEL, "112", talk_ms=100),
    ):
        await node.noted(EntryKind.INVITE, account="dispatch-1")
        began = trio.current_time()
        await wait_for(dispatch, "INVITE")
        took_s = trio.current_time() - began
        await node.call()
    assert 3.5 < took_s < 5


async def test_a_dispatch_that_is_not_there_is_known_before_anybody_calls(
    place: TownBed, tmp_path: Path
) -> None:
    async with open_node(place, tmp_path) as node, open_dispatch(place.bed, "dispatch-2") as dispatch:
        with trio.fail_after(15):
            while "trunk_down" not in alarms(node):  # noqa: ASYNC110 - nobody tells
                await trio.sleep(0.05)
        async with visiting(place, PANEL, "112", talk_ms=100) as visit:
            await wait_for(dispatch, "INVITE")
        call = await node.call()
    assert visit.result.final_code == 200
    assert trunks(call) == ["dispatch-2"]


async def test_a_busy_dispatch_is_called_again_and_the_person_is_told(place: TownBed, tmp_path: Path) -> None:
    async with (
        open_node(place, tmp_path, sos=ROUNDS) as node,
        open_dispatch(place.bed, "dispatch-1", busy_first=1) as dispatch,
        open_dispatch(place.bed, "dispatch-2", refuses_with=486),
        visiting(place, PANEL, "112", talk_ms=100) as visit,
    ):
        await node.noted(EntryKind.PROMPT, media="sound:teledom/sos-busy")
        await node.noted(EntryKind.BRIDGED)
    assert visit.result.final_code == 200
    assert len(invites(dispatch)) == 2


async def test_a_trunk_that_refuses_a_location_is_called_without_and_that_is_remembered(
    place: TownBed, tmp_path: Path
) -> None:
    async with open_dispatch(place.bed, "dispatch-1", refuses_multipart=True) as dispatch:
        for _ in range(2):
            async with (
                open_node(place, tmp_path) as node,
                visiting(place, PANEL, "112", talk_ms=100) as visit,
            ):
                await node.noted(EntryKind.BRIDGED)
            assert visit.result.final_code == 200
    with_location = [sent_location(invite) is not None for invite in invites(dispatch)]
    assert with_location == [True, False, False]


async def test_where_no_dispatch_can_be_reached_the_duty_desk_is_called(
    place: TownBed, tmp_path: Path
) -> None:
    duty = place.account("7351001")
    async with AsyncExitStack() as stack:
        settings = {"rounds": 2, "pause_s": 0.1}
        node = await stack.enter_async_context(
            open_node(place, tmp_path, sos=settings, duty={"account": f"{duty.user}@teledom"})
        )
        phone = await stack.enter_async_context(open_phone(place.bed, duty))
        for name in ("dispatch-1", "dispatch-2"):
            await stack.enter_async_context(open_dispatch(place.bed, name, refuses_with=503))
        visit = await stack.enter_async_context(visiting(place, PANEL, "112", talk_ms=300))
        invite = await wait_for(phone, "INVITE", within_s=30)
        await node.noted(EntryKind.BRIDGED)
        assert CHEL_1 in invite.header("From")
    assert visit.result.final_code == 200
    assert legs(await node.call()) == {}


async def test_while_a_panels_actor_rests_after_a_crash_the_dialplan_calls(
    place: TownBed, tmp_path: Path
) -> None:
    async with open_node(place, tmp_path) as node, open_dispatch(place.bed, "dispatch-1") as dispatch:

        def broken(*_: object) -> None:
            raise RuntimeError("a bug")

        node.node.sos.world.trunks.order = broken  # type: ignore[method-assign,assignment]
        node.node.domophones.backoff = Backoff(min_s=60, max_s=60)
        async with visiting(place, PANEL, "112", talk_ms=50):
            pass
        assert node.node.domophones.rest_s(PANEL) > 10
        async with visiting(place, PANEL, "112", talk_ms=50) as visit:
            with trio.fail_after(5):
                while len(invites(dispatch)) == 1:  # noqa: ASYNC110 - nobody tells
                    await trio.sleep(0.02)
    assert visit.result.final_code == 200


async def test_a_bug_in_the_node_does_not_cost_the_call(place: TownBed, tmp_path: Path) -> None:
    """The dialplan has it back, and dials the dispatch itself."""
    async with open_node(place, tmp_path) as node, open_dispatch(place.bed, "dispatch-1") as dispatch:

        def broken(*_: object) -> None:
            raise RuntimeError("a bug")

        node.node.sos.world.trunks.order = broken  # type: ignore[method-assign,assignment]
        async with visiting(place, PANEL, "112", talk_ms=300) as visit:
            invite = await wait_for(dispatch, "INVITE")
        (call,) = await node.calls(1)
    assert visit.result.final_code == 200
    assert "+73512000000" in invite.header("From")
    assert call.outcome is Outcome.FAILED
