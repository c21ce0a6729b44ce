"""The simulated Asterisk, without its port: its state, its faults, and what can be done to it from outside."""

from __future__ import annotations

from typing import Any

import trio
from attrs import Factory, define, field

from testbed.simulated.faults import Faults
from testbed.simulated.load import Load
from testbed.simulated.panels import PanelCall, press
from testbed.simulated.phones import Phone
from testbed.simulated.shapes import App
from testbed.simulated.sockets import Socket
from testbed.simulated.world import World


@define(eq=False)
class Simulated:
    """A running simulated Asterisk. State is in `world`, switches are in `faults`; the rest happens once."""

    world: World
    user: str = "teledom"
    password: str = "secret"
    port: int = 0
    faults: Faults = Factory(Faults)
    sockets: list[Socket] = Factory(list)
    load: Load | None = None
    presses: dict[str, PanelCall] = Factory(dict)  # those made over the control path, by channel
    nursery: trio.Nursery | None = field(default=None, repr=False)  # while its port is open

    @property
    def ari_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/ari"

    def press(self, panel: str, dialled: str, app: str = "TdCall") -> PanelCall:
        """A visitor presses a flat's number on this panel (a SIP user)."""
        call = press(self.world, panel, dialled, app)
        self.world.timers.run_soon()
        return call

    def phone(self, user: str, phone: Phone) -> None:
        """What the phone of this account does from now on."""
        self.world.phones.by_user[user] = phone

    def drop_sockets(self, app: str = "") -> int:
        """Cut the WebSockets (of one application, or all) without a goodbye; how many there were."""
        hit = [s for s in self.sockets if not app or any(a.name == app for a in s.apps)]
        for socket in hit:
            socket.abort()
        return len(hit)

    def inject(self, text: bytes | str, app: str = "TdCall") -> None:
        """Send an application any text at all, as a frame of its WebSocket."""
        found: App | None = self.world.apps.get(app)
        if found is not None and found.sink is not None:
            found.sink(text.encode() if isinstance(text, str) else text)

    def inject_unknown_event(self, app: str = "TdCall") -> None:
        self.inject(
            b'{"type":"SomethingNew","timestamp":"%s","what":[1,2]}' % self.world.stamp().encode(), app
        )

    def inject_wrong_shape(self, app: str = "TdCall") -> None:
        self.inject(b'{"type":"StasisStart","timestamp":7,"args":"no list","channel":[]}', app)

    def inject_oversized(self, size: int, app: str = "TdCall") -> None:
        self.inject(b'{"type":"ChannelVarset","value":"' + b"x" * size + b'"}', app)

    def restart(self) -> None:
        """Asterisk died and is back: every socket, channel, bridge, subscription and filter is gone."""
        self.world.restart()
        self.drop_sockets()

    def start_load(self, load: Load) -> None:
        """Run a load beside everything else; `load.result()` says how it went."""
        if self.nursery is None:
            raise RuntimeError("the simulated Asterisk is not running: enter open_simulated first")
        self.load = load
        self.nursery.start_soon(load.run, self.world)

    def state(self) -> dict[str, Any]:
        """What there is: for tests and the control path."""
        return {
            "channels": list(self.world.channels),
            "bridges": list(self.world.bridges),
            "apps": [app.as_json() | {"attached": app.sink is not None} for app in self.world.apps.values()],
            "sockets": len(self.sockets),
            "events_sent": self.world.events_sent,
        }
