"""A load of visitors' calls on the simulated Asterisk: panels pressed at a rate, each call followed to its
end.

Measured from the press, on the simulated side: until the first and until the last originate of the call
arrived, until the panel was answered. A call is good when every account was rung, the panel was answered and
bridged with the phone that answered, and nothing of it was left when it ended.
"""

from __future__ import annotations

import math
import time
from typing import Any

import trio
from attrs import Factory, define, field, frozen

from testbed.simulated.panels import PanelCall, PanelState, press
from testbed.simulated.phones import Phone
from testbed.simulated.shapes import Bridge, Channel
from testbed.simulated.world import World


@frozen(kw_only=True)
class Visit:
    """One press that can be made: the panel, what is dialled, and the accounts that must ring."""

    panel: str
    dialled: str
    accounts: list[str]


@frozen(kw_only=True)
class LoadSpec:
    """What to run. `answer_s` after its INVITE the first account answers, and hangs up `talk_s` later; the
    others ring.
    """

    calls: int
    rate: float  # per second
    visits: list[Visit]
    ring_s: float = 0.05
    answer_s: float = 0.5
    talk_s: float = 2.0
    drain_s: float = 15.0


@define(eq=False)
class _Followed:
    """One call of the load."""

    pressed: float
    accounts: int
    legs: list[Channel] = Factory(list)
    first: float | None = None
    last: float | None = None
    call: PanelCall | None = None
    bridged: bool = False


@define(eq=False)
class Load:
    spec: LoadSpec
    done: trio.Event = Factory(trio.Event)
    pressed: int = 0
    started_at: float = 0.0
    finished_at: float | None = None
    left_over: list[str] = Factory(list)
    _calls: list[_Followed] = Factory(list)
    _by_account: dict[str, _Followed] = Factory(dict)
    _by_channel: dict[str, _Followed] = Factory(dict)  # by the panel's
    _problems: dict[str, int] = field(factory=dict)

    async def run(self, world: World) -> None:
        """Press, follow, and wait for the last call's end, for `drain_s` at most."""
        spec = self.spec
        first = Phone(ring_s=spec.ring_s, answer_s=spec.answer_s, hangup_s=spec.talk_s)
        ringing = Phone(ring_s=spec.ring_s)
        for visit in spec.visits:
            for place, account in enumerate(visit.accounts):
                world.phones.by_user[account] = ringing if place else first
        world.on_leg, world.on_bridge = self._on_leg, self._on_bridge
        self.started_at = time.perf_counter()
        start = trio.current_time()
        for number in range(spec.calls):
            await trio.sleep_until(start + number / spec.rate)
            self._press(world, spec.visits[number % len(spec.visits)])
        with trio.move_on_after(spec.answer_s + spec.talk_s + spec.drain_s):
            for followed in self._calls:
                assert followed.call is not None
                await followed.call.wait(PanelState.ENDED)
            # What a call leaves behind is looked for at its end's end: its legs get a second to go.
            await trio.sleep(1.0)
        self.left_over = [
            leg.id for followed in self._calls for leg in followed.legs if leg.id in world.channels
        ]
        self.finished_at = time.perf_counter()
        world.on_leg = world.on_bridge = None
        self.done.set()

    def _press(self, world: World, visit: Visit) -> None:
        followed = _Followed(time.perf_counter(), len(visit.accounts))
        for account in visit.accounts:
            self._by_account[account] = followed
        self._calls.append(followed)
        self.pressed += 1
        followed.call = press(world, visit.panel, visit.dialled)
        self._by_channel[followed.call.channel.id] = followed
        world.timers.run_soon()

    def _on_leg(self, channel: Channel) -> None:
        followed = self._by_account.get(channel.user)
        if followed is None:
            self._problems["leg to nobody"] = self._problems.get("leg to nobody", 0) + 1
            return
        now = time.perf_counter()
        followed.first = followed.first or now
        followed.last = now
        followed.legs.append(channel)

    def _on_bridge(self, bridge: Bridge) -> None:
        for panel, other in (bridge.channels, bridge.channels[::-1]):
            followed = self._by_channel.get(panel.id)
            if followed is not None and other in followed.legs:
                followed.bridged = True

    def first_ms(self) -> list[float]:
        """Of each call, from the press to its first originate, in ms."""
        return [round((f.first - f.pressed) * 1000, 3) for f in self._calls if f.first is not None]

    def result(self) -> dict[str, Any]:
        """Figures so far; `finished` says whether they are the last."""
        ok, problems, left_over = 0, dict(self._problems), set(self.left_over)
        for followed in self._calls:
            call = followed.call
            if call is None:
                continue
            if len(followed.legs) != followed.accounts:
                what = "accounts not rung"
            elif call.answered_at is None:
                what = "not answered"
            elif not followed.bridged:
                what = "not bridged"
            elif call.state is not PanelState.ENDED:
                what = "not ended"
            elif any(leg.id in left_over for leg in followed.legs):
                what = "legs left over"
            else:
                ok += 1
                continue
            problems[what] = problems.get(what, 0) + 1
        took = (self.finished_at or time.perf_counter()) - self.started_at
        return {
            "calls": self.pressed,
            "ok": ok,
            "finished": self.finished_at is not None,
            "took_s": round(took, 3),
            "problems": problems,
            "first_ms": _spread([f.first - f.pressed for f in self._calls if f.first is not None]),
            "all_ms": _spread([f.last - f.pressed for f in self._calls if f.last is not None]),
            "ring_ms": _spread(
                [
                    f.call.ringing_at - f.call.pressed_at
                    for f in self._calls
                    if f.call is not None and f.call.ringing_at is not None
                ]
            ),
            "answer_ms": _spread(
                [
                    f.call.answered_at - f.call.pressed_at - self.spec.answer_s
                    for f in self._calls
                    if f.call is not None and f.call.answered_at is not None
                ]
            ),
        }


def _spread(seconds: list[float]) -> dict[str, float | int]:
    """Percentiles in milliseconds."""
    ordered = sorted(seconds)
    spread: dict[str, float | int] = {"n": len(ordered)}
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)):
        place = max(0, math.ceil(share * len(ordered)) - 1)
        spread[name] = round(ordered[place] * 1000, 2) if ordered else 0.0
    return spread
