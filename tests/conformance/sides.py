"""The two Asterisks, behind one face: what a test may ask of either.

`Side.ari` is where ARI is; `phone` scripts a phone, `press` presses a panel. Whatever a test leaves behind is
hung up after it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import trio
from attrs import define

from testbed.asterisk import AsteriskPlace
from testbed.simulated import PanelState, Phone, Simulated, open_simulated
from testbed.simulated.phones import PhoneBook
from tests.conformance.client import Ari, Json
from tests.conformance.sip_peer import SipPeer


class Panel(Protocol):
    """A panel's call: simulated, or over SIP."""

    code: int | None
    cause: int | None
    digits: str

    async def wait(self, *states: PanelState) -> PanelState: ...
    async def wait_digits(self, digits: str) -> None: ...
    def hangup(self) -> None: ...
    def dtmf(self, digits: str) -> None: ...


@define
class Side:
    """One Asterisk with a network of phones and panels behind it."""

    name: str
    ari: Ari
    phones: PhoneBook
    peer: SipPeer | None = None
    simulated: Simulated | None = None

    def phone(self, user: str, phone: Phone) -> None:
        self.phones.by_user[user] = phone

    def press(self, panel: str = "p1", dialled: str = "42") -> Panel:
        if self.simulated is not None:
            return self.simulated.press(panel, dialled)
        assert self.peer is not None
        return self.peer.press(panel, dialled)


def to(user: str) -> Json:
    """The body of an originate to this account's phone."""
    return {
        "variables": {
            "PJSIP_HEADER(add,X-Kamailio-URI)": f"sip:{user}@teledom",
            "PJSIP_HEADER(add,X-URI-Type)": "mobile",
        }
    }


@asynccontextmanager
async def simulated_side() -> AsyncIterator[Side]:
    async with open_simulated() as simulated:
        ari = Ari(simulated.ari_url, simulated.user, simulated.password)
        yield Side("simulated", ari, simulated.world.phones, simulated=simulated)


@asynccontextmanager
async def real_side(place: AsteriskPlace) -> AsyncIterator[Side]:
    """`place`: a running Asterisk whose Kamailio port is free for us."""
    ari = Ari(place.ari_url, place.ari_user, place.ari_password)
    peer = SipPeer(place.kamailio_port, place.sip_port)
    async with trio.open_nursery() as nursery:
        await nursery.start(peer.run)
        yield Side("real", ari, peer.phones, peer)
        for kind in ("channels", "bridges"):
            for left in (await ari.http("GET", kind)).json():
                await ari.http("DELETE", f"{kind}/{left['id']}")
        nursery.cancel_scope.cancel()
