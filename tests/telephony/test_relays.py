"""Relays in Shelly's two dialects, against servers that speak them: a channel opens once, and every fault is an error."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telephony.panels.interface import PanelAccess, PanelAnswer, PanelAway, PanelError, PanelRefused
from telephony.relays import MODELS, RelayDriver, open_relay, switched, was_set
from testbed.panel_state import Fault, PanelState, new_certificate
from testbed.relays import open_relay_server
from tests.telephony.panels.panels import answer, nothing_to_pin


@asynccontextmanager
async def connected(
    relay: PanelState,
    *,
    deadline_s: float = 5.0,
    password: str = "",
    on_pin: Callable[[str], None] = nothing_to_pin,
) -> AsyncIterator[RelayDriver]:
    async with open_relay_server(relay) as url:
        access = PanelAccess(
            vendor=relay.vendor, url=url, user=relay.user, password=password or relay.password
        )
        async with open_relay(access, deadline_s=deadline_s, on_pin=on_pin) as driver:
            yield driver


@pytest.mark.parametrize("model", MODELS)
async def test_a_channel_opens_and_closes_by_itself(model: str) -> None:
    relay = PanelState(model)
    async with connected(relay) as driver:
        await driver.open(1, 3)
        await driver.open(2, 5)
    assert relay.doors == [1, 2]
    assert [seen.target for seen in relay.seen if "3" in seen.target]


@pytest.mark.parametrize("model", MODELS)
async def test_a_channel_that_is_not_there_is_a_refusal(model: str) -> None:
    relay = PanelState(model)
    async with connected(relay) as driver:
        with pytest.raises(PanelRefused, match=rf"\({model}\), opening channel 3"):
            await driver.open(3, 3)
        with pytest.raises(ValueError, match="counted from 1"):
            await driver.open(0, 3)
    assert relay.doors == []


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.SERVER_ERROR, PanelRefused),
        (Fault.REDIRECT, PanelRefused),
        (Fault.SILENCE, PanelAway),
        (Fault.GARBAGE, PanelAnswer),
        (Fault.HUGE, PanelAnswer),
        (Fault.CUT, PanelAway),
        (Fault.NOT_HTTP, PanelAway),
    ],
)
async def test_a_fault_is_an_error_that_names_the_relay(
    model: str, fault: Fault, error: type[Exception]
) -> None:
    relay = PanelState(model, fault=fault)
    async with connected(relay, deadline_s=0.3 if fault is Fault.SILENCE else 5) as driver:
        with pytest.raises(error, match=r"^relay http://127\.0\.0\.1:"):
            await driver.open(1, 3)


@pytest.mark.parametrize("model", MODELS)
async def test_a_wrong_password_opens_nothing_and_is_not_told(model: str) -> None:
    relay = PanelState(model)
    async with connected(relay, password="falsch-99") as driver:
        with pytest.raises(PanelRefused, match="check user and password") as caught:
            await driver.open(1, 3)
    assert "falsch" not in str(caught.value)
    assert relay.doors == []


@pytest.mark.parametrize("model", MODELS)
async def test_a_certificate_is_told_when_it_is_first_seen(model: str) -> None:
    relay, pins = PanelState(model, certificate=new_certificate()), list[str]()
    async with connected(relay, on_pin=pins.append) as driver:
        await driver.open(1, 3)
    assert relay.certificate is not None
    assert pins == [relay.certificate.sha256]


async def test_a_later_generation_never_sees_the_password() -> None:
    relay = PanelState("shelly-2")
    async with connected(relay) as driver:
        await driver.open(1, 3)
    assert [bool(seen.login) for seen in relay.seen] == [False, True]
    assert relay.seen[1].login.startswith("Digest ")
    assert relay.password not in relay.seen[1].login


async def test_a_model_that_nobody_knows_is_named() -> None:
    access = PanelAccess(vendor="netping", url="http://10.1.2.3", user="admin", password="x")
    with pytest.raises(ValueError, match=r"'netping' .* not one of shelly-1, shelly-2"):
        async with open_relay(access, deadline_s=1, on_pin=nothing_to_pin):
            pass


@settings(deadline=None)
@given(
    st.binary(max_size=100) | st.sampled_from([b'{"ison":1}', b'{"ison":true}', b'{"was_on":null}', b"{}"])
)
def test_any_bytes_are_a_result_or_an_error(content: bytes) -> None:
    for parse in (switched, was_set):
        try:
            parse(answer(content))
        except PanelError:
            continue
        assert content == b'{"ison":true}'
