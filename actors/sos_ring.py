"""Somebody behind Kamailio is called for 112: the panel that is called back, or the duty desk."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import trio
from attrs import frozen

from actors.sos_dial import MORE_S
from actors.sos_world import APPLICATION, SosPage, SosWorld
from crm.values.records import EntryKind, LegEnd
from telephony.ari.channels import Leg, LegState

URI_TYPE = "sos"  # tells Kamailio to let it ring for long


@frozen
class Callee:
    """Whom to call: its role ("panel" or "duty"), its SIP account ("500001@teledom"), and how long it rings.

    `psap`: it is the dispatch that calls back (RFC 7090).
    """

    role: str
    account: str
    ring_s: float
    psap: bool = False


async def ring(
    world: SosWorld,
    page: SosPage,
    leg: Leg,
    callee: Callee,
    caller: str,
    receive: Callable[[], Awaitable[list[object]]],
    stop: Callable[[], bool],
    *,
    originator: str = "",
    on_ring: Callable[[], None] = lambda: None,
) -> bool:
    """Call, and wait for the answer; False when it ended otherwise, `ring_s` is over, or `stop` says so."""
    variables = {
        "PJSIP_HEADER(add,X-Kamailio-URI)": f"sip:{callee.account}",
        "PJSIP_HEADER(add,X-URI-Type)": URI_TYPE,
    }
    if callee.psap:
        variables["PJSIP_HEADER(add,Priority)"] = "psap-callback"
    record = page.leg(leg, callee.role, callee.account)
    page.note(EntryKind.INVITE, leg.id, account=callee.account)
    leg.originate(
        f"PJSIP/{world.call.endpoint}",
        APPLICATION,
        caller_id=f'"{caller}" <{caller}>',
        timeout_s=int(callee.ring_s) + MORE_S,
        originator=originator,
        variables=variables,
    )
    rings = False
    with trio.move_on_after(callee.ring_s):
        while not (leg.gone or stop() or leg.state is LegState.UP):
            if leg.state is LegState.RINGING and not rings:
                rings, record.ringing_at = True, time.time()
                page.note(EntryKind.RINGING, leg.id, account=callee.account)
                on_ring()
            await receive()
    if leg.state is LegState.UP:
        page.answered(leg, record)
        return True
    page.unanswered(leg, record, LegEnd.NO_ANSWER if rings else LegEnd.UNREACHABLE)
    return False
