"""No connection is left open wherever its opening, its use or its closing is cut short."""

from __future__ import annotations

import gc
import warnings
from base64 import b64encode

import pytest
import trio

from config import AriConfig
from telephony.ari.client import Ari
from telephony.ari.websocket import open_socket
from testbed.simulated import Simulated, open_simulated
from tests.telephony.test_ari import Ear


@pytest.mark.parametrize("whole", [False, True], ids=["one socket", "a client with all its own"])
def test_a_cancellation_at_any_step_leaves_no_socket_open(whole: bool) -> None:
    gc.collect()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for steps in range(30):
            trio.run(_cut_short_after, steps, whole)
        gc.collect()

    # httpx leaves generators of requests' bodies to the collector, too, which hold nothing.
    assert [str(each.message) for each in said if "unclosed" in str(each.message)] == []


async def _cut_short_after(steps: int, whole: bool) -> None:
    async with open_simulated() as simulated, trio.open_nursery() as nursery:
        config = AriConfig(url=simulated.ari_url, user=simulated.user, password=simulated.password)
        if whole:
            ari = Ari(config, ("TdCall", "TdCallSOS"), ("TdCallSOS",))
            nursery.start_soon(ari.run_lanes)
            nursery.start_soon(ari.run_events, Ear())
        else:
            nursery.start_soon(_use_socket, simulated)
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def _use_socket(simulated: Simulated) -> None:
    url = simulated.ari_url.replace("http", "ws", 1)
    login = b64encode(f"{simulated.user}:{simulated.password}".encode()).decode()
    async with open_socket(
        f"{url}/events?app=TdCall", {"Authorization": f"Basic {login}"}, peer=url
    ) as socket:
        socket.send(b"{}")
        await trio.lowlevel.checkpoint()
