"""One panel's lock: who gets it, who gives way, and that it is free again whatever happens."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.actor import Mailbox
from actors.domophone import HANDOVER_S, Call, Claim, Domophone, DomophoneMessage, Hold, Pressed, gives_way
from actors.keyed import KeyedSupervisor
from crm.values.records import Outcome
from restarts import Backoff

IDLE_S = 60.0


class House:
    """A panel's actor under its supervisor, and calls that last until they are told to end."""

    def __init__(self, *, clean_up_s: float = 0.0) -> None:
        self.running: list[str] = []
        self.most = 0
        self.locks: dict[str, Hold] = {}
        self.outcomes: dict[str, str] = {}
        self.turned_away: list[str] = []
        self._ends: dict[str, trio.Event] = {}
        self._crashes: set[str] = set()
        self._clean_up_s = clean_up_s
        self.panels: KeyedSupervisor[str, DomophoneMessage] = KeyedSupervisor(
            self._actor, name="domophones", intensity=1000, backoff=Backoff(0.1, 0.2, 0.0, 30)
        )

    async def _actor(self, sip_user: str, mailbox: Mailbox[DomophoneMessage]) -> None:
        await Domophone(
            sip_user,
            mailbox,
            carry=self._carry,
            turn_away=lambda pressed: self.turned_away.append(pressed.channel_id),
            idle_s=IDLE_S,
            locks=self.locks,
        ).run()

    async def _carry(self, sip_user: str, pressed: Call, hold: Hold) -> None:
        channel = pressed.channel_id
        self.running.append(channel)
        self.most = max(self.most, len(self.running))
        try:
            await self._ends.setdefault(channel, trio.Event()).wait()
            if channel in self._crashes:
                raise RuntimeError("a bug in a call")
            self.outcomes[channel] = "ended"
        except trio.Cancelled:
            self.outcomes[channel] = hold.ending.value
            raise
        finally:
            if self._clean_up_s:
                with trio.CancelScope(shield=True):
                    await trio.sleep(self._clean_up_s)
            self.running.remove(channel)

    def press(self, channel: str) -> None:
        assert self.panels.tell("panel1", Pressed(channel, "42"))

    def end(self, channel: str, *, crash: bool = False) -> None:
        if crash:
            self._crashes.add(channel)
        self._ends.setdefault(channel, trio.Event()).set()


@pytest.mark.parametrize("holder", list(Claim))
@pytest.mark.parametrize("newcomer", list(Claim))
def test_the_higher_claim_comes_first_and_only_a_visitor_replaces_its_like(
    holder: Claim, newcomer: Claim
) -> None:
    order = [Claim.SOS, Claim.CALL_BACK, Claim.VISITOR, Claim.QUALITY]
    expected = order.index(newcomer) < order.index(holder) or holder is newcomer is Claim.VISITOR
    assert gives_way(holder, newcomer) is expected


async def test_second_call_from_a_panel_replaces_the_first(autojump_clock: trio.testing.MockClock) -> None:
    house = House()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.panels.run)
        house.press("one")
        await trio.sleep(1)
        assert house.running == ["one"]
        house.press("two")
        await trio.sleep(1)
        assert house.running == ["two"]
        assert house.outcomes == {"one": Outcome.REPLACED.value}
        assert house.most == 1
        nursery.cancel_scope.cancel()
    assert house.outcomes["two"] == Outcome.STOPPED.value


async def test_new_call_waits_for_the_old_ones_clean_up(autojump_clock: trio.testing.MockClock) -> None:
    house = House(clean_up_s=1.5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.panels.run)
        house.press("one")
        await trio.sleep(1)
        house.press("two")
        await trio.sleep(1.4)
        assert house.running == ["one"]
        await trio.sleep(0.2)
        assert house.running == ["two"]
        nursery.cancel_scope.cancel()


async def test_clean_up_that_hangs_does_not_keep_a_visitor_waiting_for_ever(
    autojump_clock: trio.testing.MockClock,
) -> None:
    house = House(clean_up_s=1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.panels.run)
        house.press("one")
        await trio.sleep(1)
        house.press("two")
        await trio.sleep(HANDOVER_S + 0.1)
        assert "two" in house.running
        nursery.cancel_scope.cancel()


async def test_crashed_call_takes_its_panel_and_nothing_else_and_the_lock_is_clean(
    autojump_clock: trio.testing.MockClock,
) -> None:
    house = House()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.panels.run)
        house.press("one")
        assert house.panels.tell("panel2", Pressed("other", "1"))
        await trio.sleep(1)
        assert {panel: hold.claim for panel, hold in house.locks.items()} == {
            "panel1": Claim.VISITOR,
            "panel2": Claim.VISITOR,
        }
        house.end("one", crash=True)
        await trio.sleep(1)
        assert house.running == ["other"]
        assert [*house.locks] == ["panel2"]
        house.press("two")
        await trio.sleep(1)
        assert sorted(house.running) == ["other", "two"]
        assert "two" not in house.outcomes
        assert house.panels.restarts == 1
        nursery.cancel_scope.cancel()


async def test_idle_panel_retires_and_comes_back(autojump_clock: trio.testing.MockClock) -> None:
    house = House()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.panels.run)
        house.press("one")
        await trio.sleep(IDLE_S * 3)
        assert len(house.panels) == 1, "a panel in a call is not idle"
        house.end("one")
        await trio.sleep(IDLE_S + 1)
        assert len(house.panels) == 0
        house.press("two")
        await trio.sleep(1)
        assert house.running == ["two"]
        nursery.cancel_scope.cancel()


EVENTS = st.lists(st.sampled_from(["press", "end", "crash", "pause", "idle"]), max_size=20)


@settings(max_examples=100, deadline=None)
@given(events=EVENTS, clean_up_s=st.sampled_from([0.0, 0.5]))
def test_no_order_of_events_leaves_the_lock_held_or_two_calls_on_one_panel(
    events: list[str], clean_up_s: float
) -> None:
    trio.run(_any_order, events, clean_up_s, clock=trio.testing.MockClock(autojump_threshold=0))


async def _any_order(events: list[str], clean_up_s: float) -> None:
    house = House(clean_up_s=clean_up_s)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.panels.run)
        for n, event in enumerate(events):
            match event:
                case "press":
                    house.press(str(n))
                case "end" | "crash":
                    for channel in list(house.running):
                        house.end(channel, crash=event == "crash")
                case "pause":
                    await trio.sleep(0.2)
                case "idle":
                    await trio.sleep(IDLE_S + 1)
        await trio.sleep(5)
        for channel in list(house.running):
            house.end(channel)
        await trio.sleep(5)
        assert house.running == []
        house.press("last")
        await trio.sleep(5)
        assert house.running == ["last"], "the lock was left held"
        assert house.most <= 1
        assert house.turned_away == []
        nursery.cancel_scope.cancel()
