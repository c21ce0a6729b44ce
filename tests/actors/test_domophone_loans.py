"""A panel's lock, lent to who calls the panel: quality calls give way to all, and begin only when it has been idle."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.actor import Mailbox
from actors.domophone import (
    Call,
    Claim,
    Domophone,
    DomophoneMessage,
    Hold,
    Pressed,
    SosPressed,
    borrowed,
)
from actors.keyed import KeyedSupervisor
from restarts import Backoff

AWAKE_S, IDLE_S = 120.0, 60.0
PANEL = "panel1"


class House:
    """A panel, and calls to and from it. A call is `active` until it is told to end; then it cleans up."""

    def __init__(self, clean_up_s: float = 0.0) -> None:
        self.active: list[str] = []
        self.got: dict[str, bool] = {}  # of quality calls and call-backs: whether they got the panel
        self.ended: list[str] = []
        self._clean_up_s = clean_up_s
        self._ends: dict[str, trio.Event] = {}
        self.panels: KeyedSupervisor[str, DomophoneMessage] = KeyedSupervisor(
            self._actor, name="domophones", intensity=1000, backoff=Backoff(0.1, 0.2, 0.0, 30)
        )

    async def _actor(self, sip_user: str, mailbox: Mailbox[DomophoneMessage]) -> None:
        await Domophone(
            sip_user, mailbox, carry=self._carry, turn_away=lambda pressed: None, idle_s=AWAKE_S
        ).run()

    async def _carry(self, sip_user: str, call: Call, hold: Hold) -> None:
        await self._last(call.channel_id)

    async def _last(self, name: str) -> None:
        self.active.append(name)
        try:
            await self._ends.setdefault(name, trio.Event()).wait()
        finally:
            self.active.remove(name)
            self.ended.append(name)
            with trio.CancelScope(shield=True):
                await trio.sleep(self._clean_up_s)

    def press(self, name: str) -> None:
        assert self.panels.tell(PANEL, Pressed(name, "42"))

    def sos(self, name: str) -> None:
        assert self.panels.tell(PANEL, SosPressed(name))

    async def call(self, name: str, claim: Claim) -> None:
        """Call the panel, if it is to be had."""
        idle_s = IDLE_S if claim is Claim.QUALITY else 0.0
        async with borrowed(self.panels.ensure(PANEL), claim, idle_s=idle_s) as loan:
            self.got[name] = loan is not None
            if loan is not None:
                await self._last(name)

    def end(self, name: str) -> None:
        self._ends.setdefault(name, trio.Event()).set()


@asynccontextmanager
async def house(clean_up_s: float = 0.0) -> AsyncIterator[tuple[House, trio.Nursery]]:
    house = House(clean_up_s)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.panels.run)
        async with trio.open_nursery() as calls:
            yield house, calls
            calls.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


async def test_a_quality_call_waits_until_the_panel_has_been_idle(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with house() as (home, calls):
        home.press("visitor")
        await trio.sleep(1)
        await home.call("during", Claim.QUALITY)
        home.end("visitor")
        await trio.sleep(IDLE_S - 1)
        await home.call("too early", Claim.QUALITY)
        await trio.sleep(2)
        calls.start_soon(home.call, "now", Claim.QUALITY)
        await trio.sleep(1)
        assert home.got == {"during": False, "too early": False, "now": True}
        assert home.active == ["now"]


async def test_a_panel_that_nobody_called_yet_may_be_called(autojump_clock: trio.testing.MockClock) -> None:
    async with house() as (home, calls):
        calls.start_soon(home.call, "first", Claim.QUALITY)
        await trio.sleep(0.1)
        assert home.active == ["first"]
        await home.call("second", Claim.QUALITY)
        assert home.got["second"] is False


async def test_whoever_comes_ends_a_quality_call_at_once_and_waits_for_its_clean_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    for comes in ("visitor", "sos", "call back"):
        async with house(clean_up_s=0.2) as (home, calls):
            calls.start_soon(home.call, "quality", Claim.QUALITY)
            await trio.sleep(1)
            match comes:
                case "visitor":
                    home.press(comes)
                case "sos":
                    home.sos(comes)
                case _:
                    calls.start_soon(home.call, comes, Claim.CALL_BACK)
            await trio.sleep(0.1)
            assert home.ended == ["quality"]
            await trio.sleep(0.2)
            assert home.active == [comes]


EVENTS = st.lists(
    st.sampled_from(["press", "sos", "call back", "quality", "end", "pause", "idle"]), max_size=25
)


@settings(max_examples=150, deadline=None)
@given(events=EVENTS, clean_up_s=st.sampled_from([0.0, 0.5]))
def test_no_order_of_calls_leaves_the_lock_held_or_two_calls_on_one_panel(
    events: list[str], clean_up_s: float
) -> None:
    trio.run(_any_order, events, clean_up_s, clock=trio.testing.MockClock(autojump_threshold=0))


async def _any_order(events: list[str], clean_up_s: float) -> None:
    async with house(clean_up_s) as (home, calls):
        for n, event in enumerate(events):
            match event:
                case "press":
                    home.press(f"press{n}")
                case "sos":
                    home.sos(f"sos{n}")
                case "call back":
                    calls.start_soon(home.call, f"back{n}", Claim.CALL_BACK)
                case "quality":
                    before = list(home.active)
                    calls.start_soon(home.call, f"quality{n}", Claim.QUALITY)
                    await trio.sleep(0.01)
                    assert not before or not home.got.get(f"quality{n}"), "it took a panel that had a call"
                case "end":
                    for name in list(home.active):
                        home.end(name)
                case "pause":
                    await trio.sleep(0.2)
                    assert len(home.active) <= 1, "two calls on one panel"
                case "idle":
                    await trio.sleep(IDLE_S + 1)
        for _ in range(len(events) + 2):
            for name in list(home.active):
                home.end(name)
            await trio.sleep(5)
        assert home.active == []
        await trio.sleep(IDLE_S)
        calls.start_soon(home.call, "last", Claim.QUALITY)
        await trio.sleep(5)
        assert home.active == ["last"], "the lock was left held"
