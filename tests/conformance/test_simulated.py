"""What only the simulated Asterisk does: faults on demand, a load, and its control over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest
import trio

from testbed.simulated import PanelState, Phone, Simulated, open_simulated
from tests.conformance.client import Ari, Line
from tests.conformance.sides import to


@pytest.fixture
async def simulated() -> AsyncIterator[Simulated]:
    async with open_simulated() as simulated:
        yield simulated


@pytest.fixture
def ari(simulated: Simulated) -> Ari:
    return Ari(simulated.ari_url, simulated.user, simulated.password)


async def test_dropped_socket_closes_without_a_goodbye(simulated: Simulated, ari: Ari) -> None:
    async with ari.line() as line:
        assert simulated.drop_sockets("TdCall") == 1
        with trio.fail_after(1):
            await line.closed.wait()
        panel = simulated.press("p1", "42")
        assert panel.state is PanelState.ENDED


async def test_restart_takes_channels_filters_and_sockets(simulated: Simulated, ari: Ari) -> None:
    async with ari.line() as line:
        panel = simulated.press("p1", "42")
        await line.event("StasisStart")
        simulated.restart()
        with trio.fail_after(1):
            await line.closed.wait()
            await panel.wait(PanelState.ENDED)
    assert simulated.state()["channels"] == []
    assert (await ari.http("GET", "channels")).json() == []


async def test_late_reply_holds_up_those_behind_it_on_its_socket_only(simulated: Simulated, ari: Ari) -> None:
    async with ari.line() as line, ari.line("TdLane") as lane:
        simulated.faults.reply_delay_s, simulated.faults.delay_path = 0.3, "bridges"
        slow = await line.send("GET", "bridges")
        behind = await line.send("GET", "channels")
        start = trio.current_time()
        await lane.ask("GET", "channels")
        assert trio.current_time() - start < 0.2
        await line.reply(behind)
        assert trio.current_time() - start > 0.25
        await line.reply(slow)


async def test_request_that_hangs_is_never_answered(simulated: Simulated, ari: Ari) -> None:
    async with ari.line() as line:
        simulated.faults.hang = True
        number = await line.send("GET", "channels")
        with pytest.raises(trio.TooSlowError):
            await line.reply(number, seconds=0.2)


async def test_replies_come_out_of_order(simulated: Simulated, ari: Ari) -> None:
    async with ari.line() as line:
        simulated.faults.reorder = 3
        sent = [await line.send("GET", "channels") for _ in range(3)]
        await line.reply(sent[0])
        got = [m["request_id"] for m in line.messages if m["type"] == "RESTResponse"]
        assert got[-3:] == sent[::-1]


async def test_odd_events_are_sent(simulated: Simulated, ari: Ari) -> None:
    async with ari.line() as line:
        simulated.inject_unknown_event()
        simulated.inject_wrong_shape()
        await line.event("SomethingNew")
        wrong = await line.event("StasisStart")
        assert wrong["channel"] == []
        simulated.inject_oversized(2 << 20)
        with trio.fail_after(2):
            await line.closed.wait()  # this client takes 1 MiB


async def test_booting_asterisk_refuses_with_503(simulated: Simulated, ari: Ari) -> None:
    simulated.faults.booting = True
    assert (await ari.http("GET", "channels")).status_code == 503


async def test_older_asterisk_ignores_requests_over_its_socket() -> None:
    async with open_simulated(version="22.3.0") as simulated:
        ari = Ari(simulated.ari_url, simulated.user, simulated.password)
        reply = await ari.http("GET", "asterisk/info")
        assert reply.json()["system"]["version"].startswith("22.3.0")
        async with ari.bare_line() as line:
            number = await line.send("GET", "channels")
            with pytest.raises(trio.TooSlowError):
                await line.reply(number, seconds=0.2)


async def _carry(line: Line, simulated: Simulated, accounts: list[str]) -> None:
    """A very small application: rings all accounts of a call, bridges the first to answer, drops the others."""
    panels: dict[str, str] = {}
    done: set[int] = set()
    while True:
        await line.wait(lambda message: id(message) not in done)
        for message in [message for message in line.messages if id(message) not in done]:
            done.add(id(message))
            channel = message.get("channel", {}).get("id", "")
            if message["type"] == "StasisStart" and channel.startswith("leg-"):
                call = channel.split("-")[1]
                await line.send("POST", f"channels/{panels[call]}/answer")
                await line.send("POST", f"bridges/b{call}", type="mixing")
                await line.send("POST", f"bridges/b{call}/addChannel", channel=f"{panels[call]},{channel}")
                for account in accounts:
                    if f"leg-{call}-{account}" != channel:
                        await line.send(
                            "DELETE", f"channels/leg-{call}-{account}", reason="answered_elsewhere"
                        )
            elif message["type"] == "StasisStart":
                call = str(len(panels))
                panels[call] = channel
                for account in accounts:
                    leg = f"channels/leg-{call}-{account}"
                    await line.send("POST", leg, to(account), endpoint="PJSIP/televoip", app="TdCall")
            elif message["type"] == "StasisEnd" and channel.startswith("leg-"):
                await line.send("DELETE", f"channels/{panels[channel.split('-')[1]]}")


async def test_load_over_the_control_path_counts_good_calls(simulated: Simulated, ari: Ari) -> None:
    control = f"http://127.0.0.1:{simulated.port}/sim"
    spec = {
        "calls": 3,
        "rate": 5.0,
        "visits": [{"panel": "p1", "dialled": "1", "accounts": ["a", "b"]}],
        "answer_s": 0.05,
        "talk_s": 0.1,
    }
    async with ari.line() as line, httpx.AsyncClient() as client, trio.open_nursery() as nursery:
        nursery.start_soon(_carry, line, simulated, ["a", "b"])
        assert (await client.post(f"{control}/load", json=spec)).status_code == 200
        assert simulated.load is not None
        with trio.fail_after(5):
            await simulated.load.done.wait()
        result = (await client.get(f"{control}/result")).json()
        times = (await client.get(f"{control}/times")).json()
        nursery.cancel_scope.cancel()
    assert (result["calls"], result["ok"], result["problems"]) == (3, 3, {})
    assert len(times) == 3
    assert simulated.state()["channels"] == []


async def test_panel_is_driven_over_the_control_path(simulated: Simulated, ari: Ari) -> None:
    control = f"http://127.0.0.1:{simulated.port}/sim"
    async with ari.line() as line, httpx.AsyncClient() as client:
        pressed = (await client.post(f"{control}/press", json={"panel": "p1", "dialled": "7"})).json()
        start = await line.event("StasisStart", pressed["channel"])
        assert start["args"] == ["panel=p1", "flat=7"]
        await line.ask("POST", f"channels/{pressed['channel']}/ring")
        await client.post(f"{control}/hangup", json={"channel": pressed["channel"]})
        shown = (await client.get(f"{control}/call", params={"channel": pressed["channel"]})).json()
        assert (shown["seen"], shown["code"]) == (["ringing", "ended"], 487)


async def test_phones_and_faults_are_set_over_the_control_path(simulated: Simulated) -> None:
    control = f"http://127.0.0.1:{simulated.port}/sim"
    async with httpx.AsyncClient() as client:
        phones = {"phones": {"a": {"refuse": 486}}, "default": {"sleeps": True}}
        assert (await client.post(f"{control}/phones", json=phones)).status_code == 200
        assert simulated.world.phones.get("a") == Phone(refuse=486)
        assert simulated.world.phones.get("other").sleeps
        await client.post(f"{control}/fault", json={"booting": True})
        assert simulated.faults.booting
        wrong = await client.post(f"{control}/fault", json={"bootin": True})
        assert wrong.status_code == 400
        assert "bootin" in json.loads(wrong.content)["message"]
