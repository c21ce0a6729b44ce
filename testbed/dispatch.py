"""The 112 dispatch at the end of a bed's trunk: SIPp answers there, and calls back from there.

`open_dispatch` is a dispatch that is called by Asterisk itself, `dispatch_calls` one call of it to a number. As with
phones: no media, and what it sent and got is in `messages`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import trio

from testbed.bed import Bed
from testbed.processes import ProcessFailed, port_is_free
from testbed.sipp import REFUSALS, Media, Sipp, SippResult, sdp

DISPATCHER = "112"  # who calls back


@asynccontextmanager
async def open_dispatch(
    bed: Bed,
    name: str,
    *,
    ring_ms: int = 200,
    talk_ms: int = 60_000,
    refuses_with: int = 0,
    refuses_multipart: bool = False,
    multipart_code: int = 415,
    silent: bool = False,
    busy_first: int = 0,
    trace: bool = True,
) -> AsyncIterator[Sipp]:
    """The dispatch at the trunk `name`, as long as the block lasts: rings for `ring_ms` and answers, hangs up after
    `talk_ms`.

    Or refuses: everything with the SIP code `refuses_with`, an INVITE of several parts, as one with a location is, with
    `multipart_code`, its first `busy_first` calls with 486. One that is `silent` never replies to an INVITE, not even
    with 100, while it answers OPTIONS like the others. Asterisk knows that it is there when the block begins.
    """
    places = {
        "RING_MS": str(ring_ms),
        "TALK_MS": str(talk_ms),
        "REFUSES": str(int(bool(refuses_with))),
        "CODE": str(refuses_with or 500),
        "REFUSES_MULTIPART": str(int(refuses_multipart)),
        "MULTIPART_CODE": str(multipart_code),
        "SILENT": str(int(silent)),
        "BUSY_FIRST": str(busy_first),
        "SDP": sdp(Media.AUDIO),
    }
    dispatch = Sipp(bed, "dispatch", places, port=bed.trunk(name).port)
    async with dispatch.prepare(server=True, trace=trace):
        await trunk_is(bed, name, "online")
        yield dispatch


async def trunk_is(bed: Bed, name: str, state: str, *, within_s: float = 10) -> None:
    """Wait until ARI says "online" or "offline" of a trunk. Raises ProcessFailed."""
    seen = ""
    auth = (bed.ari_user, bed.ari_password)
    with trio.move_on_after(within_s):
        async with httpx.AsyncClient(base_url=bed.ari_url, auth=auth) as client:
            while True:
                seen = (await client.get(f"/endpoints/PJSIP/{name}")).json()["state"]
                if seen == state:
                    return
                await trio.sleep(0.05)
    raise ProcessFailed(f"the trunk {name} was {seen!r}, and not {state}, for {within_s:g} s")


async def dispatch_calls(
    bed: Bed,
    name: str,
    number: str,
    *,
    caller: str = DISPATCHER,
    give_up_ms: int = 40_000,
    talk_ms: int = 500,
) -> SippResult:
    """The dispatch at the trunk `name` calls `number` once: gives up `give_up_ms` after the last reply, hangs up
    `talk_ms` after the answer. Any final reply is a good end: look at `final_code`. Raises ProcessFailed.
    """
    refusals = [
        f'<recv response="{code}" optional="true" next="refused" timeout="{give_up_ms}" ontimeout="cancel"/>'
        for code in REFUSALS
    ]
    places = {
        "NUMBER": number,
        "CALLER": caller,
        "GIVE_UP_MS": str(give_up_ms),
        "TALK_MS": str(talk_ms),
        "REFUSALS": "\n  ".join(refusals),
        "SDP": sdp(Media.AUDIO),
    }
    port = next(filter(port_is_free, bed.trunk(name).back_ports), 0)
    if not port:
        raise ProcessFailed(f"too many call-backs at once from {name}: see testbed.asterisk.BACK_PORTS")
    options = ("-m", "1", "-timeout", "180s")
    sipp = Sipp(bed, "dispatch_calls", places, options, port=port, calls=bed.asterisk_sip)
    return await sipp.run()
