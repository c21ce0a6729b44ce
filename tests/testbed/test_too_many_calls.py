"""More visitors' calls than Asterisk and its node keep up with: they wait at Kamailio, and 112 does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from testbed.bed import Bed
from testbed.sipp import SippResult, panel_calls, panel_sipp
from tests.real.conftest import PANELS
from tests.testbed.ari import Ari, attach

pytestmark = pytest.mark.real

PANEL, OTHER_PANEL, *_ = PANELS
AT_ONCE = 10  # VISITORS_AT_ONCE of kamailio.cfg


@asynccontextmanager
async def crowd(bed: Bed) -> AsyncIterator[tuple[Ari, list[str]]]:
    """As many visitors' calls as may wait for their first ring, and nobody who lets them ring: their channels."""
    sipp = panel_sipp(
        bed,
        must_be_answered=False,
        options=["-m", str(AT_ONCE), "-r", "200", "-rp", "1000", "-timeout", "30s"],
    )
    async with attach(bed) as ari, trio.open_nursery() as nursery:
        nursery.start_soon(sipp.run, [(PANEL.user, PANEL.password, "12")])
        channels = [(await ari.panel())["channel"]["id"] for _ in range(AT_ONCE)]
        yield ari, channels
        for channel in channels:
            await ari.ask("DELETE", f"/channels/{channel}", reason="busy")


async def test_a_visitor_too_many_is_refused_after_a_while_and_112_comes_at_once(bed: Bed) -> None:
    results: list[SippResult] = []
    refused = trio.Event()

    async def press() -> None:
        results.append(await panel_calls(bed, OTHER_PANEL, "12"))
        refused.set()

    async with attach(bed, "TdCallSOS") as sos, crowd(bed) as (ari, _), trio.open_nursery() as nursery:
        began = trio.current_time()
        nursery.start_soon(press)
        await trio.sleep(0.3)
        nursery.start_soon(panel_calls, bed, OTHER_PANEL, "SOS")
        with trio.fail_after(0.5):
            start = await sos.panel()
        await sos.ask("DELETE", f"/channels/{start['channel']['id']}", reason="busy")
        with trio.fail_after(5):
            await refused.wait()
        took_s = trio.current_time() - began

    assert results[0].final_code == 503
    assert 1.5 <= took_s < 3.5
    assert len([event for event in ari.events if event["type"] == "StasisStart"]) == AT_ONCE


async def test_a_visitor_who_waits_gets_through_as_soon_as_another_rings(bed: Bed) -> None:
    async with crowd(bed) as (ari, channels), trio.open_nursery() as nursery:
        nursery.start_soon(panel_calls, bed, OTHER_PANEL, "12")
        await trio.sleep(0.5)
        assert len([event for event in ari.events if event["type"] == "StasisStart"]) == AT_ONCE
        await ari.ask("POST", f"/channels/{channels[0]}/ring")
        with trio.fail_after(1):
            start = await ari.panel()
        await ari.ask("DELETE", f"/channels/{start['channel']['id']}", reason="busy")


async def test_a_visitor_who_gives_up_while_waiting_is_not_called_for(bed: Bed) -> None:
    results: list[SippResult] = []
    async with crowd(bed) as (ari, channels):
        results.append(await panel_calls(bed, OTHER_PANEL, "12", give_up_ms=400))
        await ari.ask("POST", f"/channels/{channels[0]}/ring")
        await trio.sleep(0.5)
        assert len([event for event in ari.events if event["type"] == "StasisStart"]) == AT_ONCE

    assert results[0].final_code == 487
