"""Where panels may be: judged by the address that is connected to, and kept for as long as the connection."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

import pytest
import trio

from config import Config, CrmConfig, NodeConfig, WebConfig
from telephony.panels import open_panel
from telephony.panels.interface import PanelAccess, PanelAway, PanelBarred
from telephony.panels.where import find_address, hosts_of, why_barred
from testbed.panel_state import PanelState
from testbed.panels import open_panel_server
from tests.telephony.panels.panels import access_to, nothing_to_pin


class Names(trio.abc.HostnameResolver):
    """A name server that says what a test wants, and counts how often it was asked."""

    def __init__(self) -> None:
        self.known: dict[str, list[str]] = {}
        self.asked = 0

    async def getaddrinfo(self, host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        self.asked += 1
        name = host.decode() if isinstance(host, bytes) else host
        if name not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        kind = socket.SOCK_STREAM
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, kind, 6, "", (each, port))
            for each in self.known[name]
        ]

    async def getnameinfo(self, *_: Any) -> Any:
        raise AssertionError("nobody asks for that")


@pytest.fixture
def names() -> Names:
    return Names()


async def known(names: Names, **addresses: list[str]) -> None:
    names.known = {f"{name.replace('_', '-')}.lan": found for name, found in addresses.items()}
    trio.socket.set_custom_hostname_resolver(names)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "::127.0.0.1",
        ),
        *("169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "100.100.100.200", "fd00:ec2::254"),
        *("0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1"),
    ],
)
def test_nothing_is_sent_to_an_address_that_is_no_panels(address: str) -> None:
    assert why_barred(ip_address(address))


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "172.16.5.5", "192.168.1.5", "100.64.7.7", "93.184.216.34", "fd00::5", "2a00::5"]
)
def test_a_panel_on_a_private_network_or_beyond_is_asked(address: str) -> None:
    assert why_barred(ip_address(address)) == ""


def test_our_own_servers_are_no_panels() -> None:
    settings = Config(
        node=NodeConfig(http="0.0.0.0:8089"),
        crm=CrmConfig(url="postgresql://teledom@db.lan:5432/teledom"),
        web=WebConfig(nodes=("http://10.0.0.2:8089",), proxies=("10.0.0.9",)),
    )

    assert {"db.lan", "10.0.0.2", "10.0.0.9"} < hosts_of(settings)
    assert "0.0.0.0" not in hosts_of(settings)
    assert why_barred(ip_address("10.0.0.2"), [ip_address("10.0.0.2")])
    assert why_barred(ip_address("::ffff:10.0.0.2"), [ip_address("10.0.0.2")])
    assert why_barred(ip_address("10.0.0.3"), [ip_address("10.0.0.2")]) == ""


def test_an_address_of_this_machine_s_own_is_no_panels() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("10.255.255.254", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        own = probe.getsockname()[0]
    assert why_barred(ip_address(own))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "panel.localhost"])
async def test_the_machine_itself_is_asked_where_that_was_written(host: str, names: Names) -> None:
    await known(names)
    names.known |= {"localhost": ["127.0.0.1"], "panel.localhost": ["127.0.0.1"]}

    assert await find_address(host, 80, ["127.0.0.1"]) in ("127.0.0.1", "::1")


async def test_a_name_that_leads_to_the_machine_or_to_a_server_of_ours_is_barred(names: Names) -> None:
    await known(
        names,
        inside=["127.0.0.1"],
        metadata=["169.254.169.254"],
        mixed=["10.1.2.3", "127.0.0.1"],
        database=["10.0.0.5"],
        alias=["10.0.0.5"],
        panel=["10.1.2.3"],
    )
    for name in ("inside", "metadata", "mixed", "alias"):
        with pytest.raises(PanelBarred, match=r"own|no panel|server"):
            await find_address(f"{name}.lan", 80, ["database.lan"])
    assert await find_address("panel.lan", 80, ["database.lan"]) == "10.1.2.3"
    with pytest.raises(PanelAway, match=r"nobody\.lan"):
        await find_address("nobody.lan", 80)


async def test_of_both_kinds_of_address_the_one_of_ipv4_is_taken(names: Names) -> None:
    await known(names, panel=["fd00::5", "10.1.2.3"])

    assert await find_address("panel.lan", 80) == "10.1.2.3"


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0x7f000001"])
async def test_a_number_that_hides_the_machine_is_barred(host: str) -> None:
    with pytest.raises((PanelBarred, PanelAway)):
        await find_address(host, 80)


async def test_a_name_that_leads_elsewhere_the_second_time_is_not_followed(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the resolver would say it: the panel first, and this machine afterwards."""
    panel = PanelState("beward")
    async with open_panel_server(panel) as url:
        port = url.rpartition(":")[2]
        await known(names, panel=["127.0.0.1"])
        monkeypatch.setattr("telephony.panels.where.why_barred", lambda *_, **__: "")
        access = access_to(panel, f"http://panel.lan:{port}")
        async with open_panel(access, deadline_s=5, on_pin=nothing_to_pin) as driver:
            await driver.open_door()
            names.known["panel.lan"] = ["169.254.169.254"]
            await driver.open_door()
    assert names.asked == 1


async def test_a_barred_panel_is_sent_nothing_and_the_error_names_it(names: Names) -> None:
    panel = PanelState("beward")
    async with open_panel_server(panel) as url:
        await known(names, inside=["127.0.0.1"])
        access = PanelAccess(
            vendor="beward", url=f"http://inside.lan:{url.rpartition(':')[2]}", user="u", password="p"
        )
        async with open_panel(access, deadline_s=5, on_pin=nothing_to_pin) as driver:
            with pytest.raises(PanelBarred, match=r"inside\.lan.*opening door 1: .*the server itself"):
                await driver.open_door()
    assert panel.seen == []
    assert panel.connections == 0
