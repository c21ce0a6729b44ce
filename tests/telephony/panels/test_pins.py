"""Certificates that nobody vouches for: pinned on first use, and no password for one that changed."""

from __future__ import annotations

import pytest

from telephony.panels import VENDORS
from telephony.panels.interface import PanelAway, PanelChanged
from testbed.panel_state import Fault, PanelState, new_certificate
from tests.telephony.panels.panels import connected


@pytest.mark.parametrize("vendor", VENDORS)
async def test_the_first_certificate_is_taken_and_told_before_a_password_is_sent(vendor: str) -> None:
    panel = PanelState(vendor, certificate=new_certificate())
    told: list[tuple[str, int]] = []
    async with connected(panel, on_pin=lambda pin: told.append((pin, len(panel.seen)))) as driver:
        await driver.open_door()
        await driver.open_door()
    assert panel.certificate is not None
    assert told == [(panel.certificate.sha256, 0)]
    assert panel.doors == [1, 1]


@pytest.mark.parametrize("vendor", VENDORS)
async def test_the_pinned_certificate_is_good_and_is_not_told_again(vendor: str) -> None:
    certificate = new_certificate()
    panel = PanelState(vendor, certificate=certificate)
    async with connected(panel, pin=certificate.sha256) as driver:
        await driver.open_door()
    assert panel.doors == [1]


@pytest.mark.parametrize("vendor", VENDORS)
async def test_another_certificate_than_the_pinned_never_gets_a_request(vendor: str) -> None:
    panel = PanelState(vendor, certificate=new_certificate())
    async with connected(panel, pin="ab" * 32) as driver:
        with pytest.raises(PanelChanged, match=r"opening door 1: .* take the pin away"):
            await driver.open_door()
    assert panel.connections == 1
    assert panel.seen == []


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_certificate_that_changes_between_two_connections_is_found(vendor: str) -> None:
    panel = PanelState(vendor, certificate=new_certificate())
    told: list[str] = []
    async with connected(panel, on_pin=told.append) as driver:
        panel.fault = Fault.CUT
        with pytest.raises(PanelAway):
            await driver.open_door()
        panel.fault, panel.certificate = None, new_certificate()
        before = len(panel.seen)
        for _ in range(2):
            with pytest.raises(PanelChanged):
                await driver.open_door()
    assert len(panel.seen) == before
    assert len(told) == 1


async def test_a_panel_that_speaks_no_tls_gets_no_request() -> None:
    panel = PanelState("beward", certificate=new_certificate())
    async with connected(panel, on_pin=lambda pin: None) as driver:
        panel.certificate = None
        with pytest.raises(PanelAway, match="cannot connect"):
            await driver.open_door()
    assert panel.seen == []
