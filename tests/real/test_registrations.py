"""What the CRM is told of panels' registrations, all the way: a panel, Kamailio, a node, the CRM's side of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from nodes import Nodes
from telephony.registrations import SipState
from testbed.sipp import register
from testbed.town_bed import RunningNode, TownBed, open_node

PORT = 5999  # where nobody is called


@asynccontextmanager
async def asked_through(running: RunningNode) -> AsyncIterator[Nodes]:
    nodes = Nodes([f"http://{running.node.config.node.http}"])
    async with trio.open_nursery() as nursery:
        await nursery.start(nodes.run)
        yield nodes
        nursery.cancel_scope.cancel()


async def test_the_crm_knows_which_panels_are_registered_and_from_where(
    place: TownBed, tmp_path: Path
) -> None:
    here, gone, *_ = [panel.sip_user for panel in place.town.panels]
    await register(place.bed, [place.panel(here)], PORT, user_agent="Beward DKS15122")
    async with open_node(place, tmp_path) as running, asked_through(running) as nodes:
        there = await nodes.registration_of(here)
        missing = await nodes.registration_of(gone)
        many = await nodes.registered_of([here, gone])
    await register(place.bed, [place.panel(here)], PORT, expires_s=0)

    assert (there.state, there.node) == (SipState.REGISTERED, "test")
    assert there.contacts[0].address.endswith(f":{PORT}")
    assert there.contacts[0].user_agent == "Beward DKS15122"
    assert (missing.state, missing.contacts) == (SipState.NOT_REGISTERED, ())
    assert (many.state, many.registered) == (SipState.REGISTERED, (here,))


async def test_with_kamailio_away_the_crm_knows_nothing_and_says_why(
    own_place: TownBed, tmp_path: Path
) -> None:
    panel = own_place.town.panels[0].sip_user
    await register(own_place.bed, [own_place.panel(panel)], PORT)
    async with open_node(own_place, tmp_path) as running, asked_through(running) as nodes:
        assert (await nodes.registration_of(panel)).state is SipState.REGISTERED
        await own_place.bed.kamailio.stop()
        one, many = await nodes.registration_of(panel), await nodes.registered_of([panel])

    assert (one.state, many.state) == (SipState.UNKNOWN, SipState.UNKNOWN)
    assert own_place.bed.kamailio_url in one.why
    assert own_place.bed.kamailio_url in many.why
