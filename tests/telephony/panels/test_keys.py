"""Keys and access codes, told to panels in each vendor's dialect; what is so already is no error."""

from __future__ import annotations

import pytest

from telephony.panels import VENDORS
from telephony.panels.interface import PanelAway, PanelCannot, PanelRefused
from telephony.panels.uids import UidOrder, ordered, padded
from testbed.panel_state import Fault, PanelState
from tests.telephony.panels.panels import connected

UID, LONG = "04A1B2C3", "04A1B2C3D4E5F6"
AS_WRITTEN = {
    "beward": {"00000004A1B2C3", "outer 00000004A1B2C3"},
    "sokol": {"00000004A1B2C3"},
    "qtech": {"00000004A1B2C3"},
    "hikvision": {"0077705923"},
}
CODES = [vendor for vendor in VENDORS if vendor != "hikvision"]


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_panel_learns_a_key_and_forgets_it(vendor: str) -> None:
    panel = PanelState(vendor)
    async with connected(panel) as driver:
        await driver.add_key(UID)
        assert panel.keys == AS_WRITTEN[vendor]
        await driver.add_key(LONG)
        await driver.remove_key(UID)
        await driver.remove_key(LONG)
    assert panel.keys == set()
    assert panel.people == set()


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("strict", [False, True])
async def test_what_is_so_already_is_no_error(vendor: str, strict: bool) -> None:
    panel = PanelState(vendor, strict=strict)
    async with connected(panel) as driver:
        await driver.remove_key(UID)
        await driver.add_key(UID)
        await driver.add_key(UID)
        assert panel.keys == AS_WRITTEN[vendor]
        await driver.remove_key(UID)
        await driver.remove_key(UID)
    assert panel.keys == set()


async def test_bewards_older_models_have_one_table_of_keys() -> None:
    panel = PanelState("beward", two_tables=False)
    async with connected(panel) as driver:
        await driver.add_key(UID)
        await driver.add_key(LONG)
        assert panel.keys == {"00000004A1B2C3", LONG}
        await driver.add_key(UID)
        await driver.remove_key(UID)
    assert panel.keys == {LONG}


@pytest.mark.parametrize("vendor", CODES)
async def test_an_access_code_takes_the_place_of_the_old_one(vendor: str) -> None:
    panel = PanelState(vendor)
    async with connected(panel) as driver:
        await driver.set_code("12345", "")
        await driver.set_code("12345", "")
        assert panel.codes == ["12345"]
        await driver.set_code("54321", "12345")
        assert panel.codes == ["54321"]
        await driver.set_code("", "54321")
    assert panel.codes == []


async def test_qtechs_other_codes_stay() -> None:
    panel = PanelState("qtech", codes=["11111", "22222"])
    async with connected(panel) as driver:
        await driver.set_code("33333", "11111")
    assert panel.codes == ["22222", "33333"]


async def test_what_a_vendor_does_not_take_is_said_and_nothing_is_sent() -> None:
    for panel, code in (
        (PanelState("hikvision"), "12345"),
        (PanelState("sokol"), "123456"),
        (PanelState("sokol"), "01234"),
    ):
        async with connected(panel) as driver:
            with pytest.raises(PanelCannot, match="setting the access code"):
                await driver.set_code(code, "")
        assert panel.connections == 0


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_key_that_is_too_long_is_said_and_nothing_is_sent(vendor: str) -> None:
    panel = PanelState(vendor)
    async with connected(panel) as driver:
        for ask in (driver.add_key, driver.remove_key):
            with pytest.raises(
                PanelCannot, match=r"key 04A1B2C3D4E5F6070809.*bytes at most, and this one 10"
            ):
                await ask("04A1B2C3D4E5F6070809")
    assert panel.connections == 0


@pytest.mark.parametrize("vendor", VENDORS)
async def test_no_uid_and_no_code_is_refused_before_anything_is_sent(vendor: str) -> None:
    panel = PanelState(vendor)
    async with connected(panel) as driver:
        for uid in ("", "04a1b2c3", "04A1", "04A1B2C3&Type=1", "../1"):
            with pytest.raises(ValueError, match="a key's UID"):
                await driver.add_key(uid)
        for code in ("12a", "१२३४५", "123456789"):
            with pytest.raises(ValueError, match="an access code is a number"):
                await driver.set_code(code, "")
    assert panel.connections == 0


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize(
    ("fault", "error"),
    [(Fault.SERVER_ERROR, PanelRefused), (Fault.CUT, PanelAway), (Fault.SILENCE, PanelAway)],
)
async def test_a_fault_is_an_error_that_names_the_key(
    vendor: str, fault: Fault, error: type[Exception]
) -> None:
    panel = PanelState(vendor, fault=fault)
    async with connected(panel, deadline_s=0.3 if fault is Fault.SILENCE else 5) as driver:
        with pytest.raises(error, match=f"adding key {UID}"):
            await driver.add_key(UID)
        with pytest.raises(error, match=f"taking key {UID} away"):
            await driver.remove_key(UID)


def test_bytes_stand_in_the_order_that_a_panel_wants() -> None:
    assert padded(UID, UidOrder.AS_SENT) == "00000004A1B2C3"
    assert padded(UID, UidOrder.REVERSED) == "000000C3B2A104"
    assert ordered(UID, UidOrder.REVERSED).hex() == "c3b2a104"
