"""Panels that fail: each fault is one error of the tree, in time, and no error tells the password."""

from __future__ import annotations

import base64
import logging
import socket
from collections.abc import Awaitable, Callable

import pytest
import trio

from telephony.panels import VENDORS, open_panel
from telephony.panels.interface import (
    SAID_MAX,
    PanelAccess,
    PanelAnswer,
    PanelAway,
    PanelDriver,
    PanelError,
    PanelRefused,
)
from testbed.panel_state import Fault, PanelState
from tests.telephony.panels.panels import connected, nothing_to_pin

Ask = Callable[[PanelDriver], Awaitable[object]]


async def _open(driver: PanelDriver) -> object:
    await driver.open_door()
    return None


async def _tell(driver: PanelDriver) -> object:
    return await (driver.idle() if driver.vendor == "hikvision" else driver.registration())


async def _test(driver: PanelDriver) -> object:
    return await (driver.line_test("17") if driver.has_line_test else driver.idle())


ASKS = [_open, _tell, _test]
ERRORS = {
    Fault.SERVER_ERROR: (PanelRefused, "it answered 500"),
    Fault.REDIRECT: (PanelRefused, "redirects .* http or https"),
    Fault.SILENCE: (PanelAway, r"no answer within 0\.3 s"),
    Fault.HUGE: (PanelAnswer, "longer than 65536 bytes"),
    Fault.CUT: (PanelAway, "the connection broke"),
    Fault.NOT_HTTP: (PanelAway, "the connection broke"),
    Fault.ECHO: (PanelRefused, "it answered 500"),
}


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("fault", ERRORS)
@pytest.mark.parametrize("ask", ASKS)
async def test_a_fault_is_an_error_that_names_the_panel(vendor: str, fault: Fault, ask: Ask) -> None:
    error, why = ERRORS[fault]
    panel = PanelState(vendor, fault=fault)
    async with connected(panel, deadline_s=0.3 if fault is Fault.SILENCE else 5) as driver:
        with pytest.raises(error, match=why) as caught:
            await ask(driver)
    assert str(caught.value).startswith("panel http://127.0.0.1:")
    assert f"({vendor}), " in str(caught.value)
    assert panel.doors == [] or ask is _open


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("ask", ASKS)
async def test_garbage_is_never_taken_for_an_answer(vendor: str, ask: Ask) -> None:
    async with connected(PanelState(vendor, fault=Fault.GARBAGE)) as driver:
        with pytest.raises(PanelAnswer) as caught:
            await ask(driver)
    assert "statusCode" in caught.value.said


@pytest.mark.parametrize("vendor", VENDORS)
async def test_after_a_fault_the_same_driver_works_again(vendor: str) -> None:
    panel = PanelState(vendor)
    async with connected(panel, deadline_s=0.3) as driver:
        for panel.fault in (Fault.CUT, Fault.SILENCE, Fault.HUGE):
            with pytest.raises(PanelError):
                await driver.open_door()
        panel.fault, panel.doors = None, []
        await driver.open_door()
    assert panel.doors == [1]


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_wrong_password_is_said_to_be_one(vendor: str) -> None:
    panel = PanelState(vendor)
    async with connected(panel, password="falsch-99") as driver:
        with pytest.raises(
            PanelRefused, match=r"refuses user 'admin' \(401\): check user and password"
        ) as caught:
            await driver.open_door()
    assert caught.value.status == 401
    assert "falsch" not in str(caught.value)
    assert panel.doors == []


@pytest.mark.parametrize("vendor", ["beward", "qtech", "hikvision"])
async def test_the_deadline_is_for_a_method_and_not_for_each_of_its_requests(vendor: str) -> None:
    panel = PanelState(vendor, delay_s=0.2)
    async with connected(panel, deadline_s=0.3) as driver:
        started = trio.current_time()
        with pytest.raises(PanelAway, match="no answer within"):
            await _test(driver)
        assert trio.current_time() - started < 1
    assert len(panel.seen) == 2


async def test_nobody_listens_at_the_url() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    access = PanelAccess(vendor="sokol", url=f"http://127.0.0.1:{port}", user="root", password="geheim")
    async with open_panel(access, deadline_s=2, on_pin=nothing_to_pin) as driver:
        with pytest.raises(
            PanelAway, match=r"opening door 1: cannot connect: .*; check its url, power and network"
        ):
            await driver.open_door()


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_panel_that_sends_the_password_back_spoils_no_error_and_no_log(
    vendor: str, caplog: pytest.LogCaptureFixture
) -> None:
    panel = PanelState(vendor, fault=Fault.ECHO)
    token = base64.b64encode(f"{panel.user}:{panel.password}".encode()).decode()
    with caplog.at_level(logging.DEBUG):
        async with connected(panel) as driver:
            with pytest.raises(PanelRefused) as caught:
                await driver.open_door()
    shown = f"{caught.value!s} {caught.value!r} {caught.value.said} {caplog.text}"
    assert "***" in caught.value.said
    assert panel.password not in shown
    assert token not in shown
    assert "\x1b" not in caught.value.said


async def test_what_a_panel_said_is_cut() -> None:
    panel = PanelState("beward", fault=Fault.ECHO, password="x" * 3000)
    async with connected(panel, password="anders") as driver:
        with pytest.raises(PanelRefused) as caught:
            await driver.open_door()
    assert len(caught.value.said) <= SAID_MAX


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_cancelled_request_leaves_the_driver_usable(vendor: str) -> None:
    panel = PanelState(vendor, delay_s=0.2)
    async with connected(panel) as driver:
        with trio.move_on_after(0.05) as scope:
            await driver.open_door()
        assert scope.cancelled_caught
        panel.delay_s = 0
        panel.doors.clear()
        await driver.open_door()
    assert panel.doors == [1]


async def test_hikvision_never_sees_a_challenge_twice_and_no_password() -> None:
    panel = PanelState("hikvision")
    async with connected(panel) as driver:
        for _ in range(3):
            await driver.open_door()
    assert [bool(seen.login) for seen in panel.seen] == [False, True] * 3
    assert panel.nonces == set()
    assert not any(panel.password in seen.login for seen in panel.seen)


@pytest.mark.parametrize(
    ("challenge", "error"),
    [
        ("Digest realm", PanelAnswer),
        ('Digest realm="a"', PanelAnswer),
        ('Digest realm="a", nonce="b", algorithm="ROT13"', PanelAnswer),
        ('Digest realm="a", nonce="b", qop="auth-int"', PanelAnswer),
        ('Digest realm="a", nonce="b", qop="other"', PanelAnswer),
        ('Basic realm="a"', PanelRefused),
    ],
)
async def test_a_login_of_another_kind_is_an_error_and_gets_no_password(
    challenge: str, error: type[Exception]
) -> None:
    panel = PanelState("hikvision", challenge=challenge)
    async with connected(panel) as driver:
        with pytest.raises(error):
            await driver.open_door()
    assert [seen.login for seen in panel.seen] == [""]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"url": "10.1.2.3"}, "http://host"),
        ({"url": "ftp://10.1.2.3"}, "http://host"),
        ({"url": "http://10.1.2.3/cgi-bin"}, "nothing more"),
        ({"url": "http://10.1.2.3/?a=1"}, "nothing more"),
        ({"url": "http://"}, "http://host"),
        ({"url": "http://10.1.2.3:port"}, "cannot be used"),
        ({"url": "http://admin:geheim@10.1.2.3"}, "put that into user and password"),
        ({"user": "ad:min"}, "characters"),
        ({"user": "admin\r\nX: 1"}, "characters"),
        ({"pin": "ab" * 32}, "no certificate to pin"),
        ({"url": "https://10.1.2.3", "pin": "AB:CD"}, "SHA-256"),
    ],
)
def test_an_access_that_cannot_be_used_is_named_without_its_password(
    change: dict[str, str], why: str
) -> None:
    fields = {"vendor": "beward", "url": "http://10.1.2.3", "user": "admin", "password": "geheim", **change}
    with pytest.raises(ValueError, match=why) as caught:
        PanelAccess(**fields)
    assert "geheim" not in str(caught.value)


def test_an_access_does_not_show_its_password() -> None:
    access = PanelAccess(vendor="beward", url="http://10.1.2.3", user="admin", password="geheim")
    assert "geheim" not in repr(access)
