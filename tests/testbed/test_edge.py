"""What Kamailio and Asterisk do by the configuration files that go with us, seen from panels, phones and ARI."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from testbed.audio import heard
from testbed.baresip import Digits, open_baresip
from testbed.bed import Bed, Credentials
from testbed.processes import HOST
from testbed.sipp import Media, SippResult, open_phone, panel_calls, register, wait_for
from tests.real.conftest import ACCOUNTS, PANELS, RING_MS
from tests.testbed.ari import Ari, attach

pytestmark = pytest.mark.real

PANEL, OTHER_PANEL, *_ = PANELS
ACCOUNT, *_ = ACCOUNTS


@pytest.fixture
async def ari(bed: Bed) -> AsyncIterator[Ari]:
    async with attach(bed) as ari:
        yield ari


@asynccontextmanager
async def call(
    bed: Bed,
    ari: Ari,
    dialled: str = "12",
    *,
    panel: Credentials = PANEL,
    headers: str = "",
    media: Media = Media.AUDIO,
) -> AsyncIterator[tuple[str, list[str], list[SippResult]]]:
    """A panel's call that is there: its channel, the application's arguments, and its results when it is over."""
    results: list[SippResult] = []

    async def press() -> None:
        results.append(await panel_calls(bed, panel, dialled, headers=headers, media=media))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(press)
        start = await ari.panel()
        channel = start["channel"]["id"]
        await ari.ask("POST", f"/channels/{channel}/ring")
        yield channel, start["args"], results
        if not results:
            await ari.ask("DELETE", f"/channels/{channel}", reason="busy")


@pytest.mark.parametrize(
    ("dialled", "flat"), [("12", "12"), ("3*15", "3*15"), ("12%235", "12#5"), ("12#5", "12#5")]
)
async def test_a_panel_and_the_flat_that_it_dialled_reach_the_application(
    bed: Bed, ari: Ari, dialled: str, flat: str
) -> None:
    async with call(bed, ari, dialled) as (_, arguments, results):
        assert arguments == [f"panel={PANEL.user}", f"flat={flat}"]

    assert results[0].final_code == 486


async def test_who_a_panel_is_comes_from_its_password_and_not_from_its_headers(bed: Bed, ari: Ari) -> None:
    async with call(bed, ari, headers=f"X-Td-Panel: {OTHER_PANEL.user}") as (_, arguments, _):
        assert arguments[0] == f"panel={PANEL.user}"


async def test_the_sos_button_reaches_its_own_application(bed: Bed) -> None:
    async with attach(bed, "TdCallSOS") as ari, call(bed, ari, "SOS") as (channel, arguments, _):
        assert arguments == [f"panel={PANEL.user}", "city=", f"recording=sos/{channel}.wav"]


@pytest.mark.parametrize("dialled", ["abc", "1234567890123456789012345678901234567"])
async def test_what_is_no_flat_is_not_found(bed: Bed, dialled: str) -> None:
    assert (await panel_calls(bed, PANEL, dialled)).final_code == 404


async def test_an_account_may_not_call_as_a_panel(bed: Bed) -> None:
    assert (await panel_calls(bed, ACCOUNT, "12")).final_code == 403


async def test_a_wrong_password_is_asked_again_and_nothing_more(bed: Bed) -> None:
    stranger = Credentials(PANEL.user, "guessed", PANEL.kind)

    assert (await panel_calls(bed, stranger, "12")).final_code == 407


async def test_a_panel_hears_503_while_no_node_is_attached(bed: Bed) -> None:
    assert (await panel_calls(bed, PANEL, "12")).final_code == 503


async def test_asterisk_takes_no_call_that_did_not_come_through_kamailio(bed: Bed) -> None:
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
        await sock.bind((HOST, 0))
        mine = f"{HOST}:{sock.getsockname()[1]}"
        request = (
            f"INVITE sip:12@{HOST}:{bed.asterisk_sip[1]} SIP/2.0\r\nVia: SIP/2.0/UDP {mine};branch=z9hG4bK-1;rport\r\n"
            f"From: <sip:x@{HOST}>;tag=1\r\nTo: <sip:12@{HOST}>\r\nCall-ID: direct@{mine}\r\nCSeq: 1 INVITE\r\n"
            f"X-Td-Panel: {PANEL.user}\r\nContact: <sip:x@{mine}>\r\nMax-Forwards: 9\r\nContent-Length: 0\r\n\r\n"
        )
        await sock.sendto(request.encode(), bed.asterisk_sip)
        with trio.fail_after(5):
            reply = await sock.recv(4096)

    assert reply.startswith(b"SIP/2.0 401")


async def test_a_phone_sees_our_headers_and_not_the_routing(bed: Bed, ari: Ari) -> None:
    async with open_phone(bed, ACCOUNT, ring_ms=5000) as phone:
        await ari.ring(ACCOUNT.user, "td-headers")
        invite = await wait_for(phone, "INVITE")
        await ari.rings("td-headers")
        await ari.ask("DELETE", "/channels/td-headers")
        await ari.ended("td-headers")

    assert invite.header("X-Td-Call") == "call-1"
    assert invite.header("X-Kamailio-URI") == invite.header("X-URI-Type") == ""


async def test_a_phone_is_told_that_the_call_was_answered_elsewhere(bed: Bed, ari: Ari) -> None:
    async with open_phone(bed, ACCOUNT, ring_ms=5000) as phone:
        await ari.ring(ACCOUNT.user, "td-elsewhere")
        await ari.rings("td-elsewhere")
        await ari.ask("DELETE", "/channels/td-elsewhere", reason="answered_elsewhere")
        cancel = await wait_for(phone, "CANCEL")

    assert cancel.header("Reason").startswith("SIP;cause=200")


@pytest.mark.parametrize("code", [403, 408, 480, 486, 600, 603])
async def test_why_a_phone_refused_is_known(bed: Bed, ari: Ari, code: int) -> None:
    async with open_phone(bed, ACCOUNT, refuses_with=code, ring_ms=20):
        await ari.ring(ACCOUNT.user, f"td-refused-{code}")
        assert (await ari.ended(f"td-refused-{code}"))["tech_cause"] == code


async def test_a_phone_that_sleeps_rings_when_it_registers(bed: Bed, ari: Ari) -> None:
    async with open_phone(bed, ACCOUNT, asleep=True, ring_ms=50) as phone:
        await ari.ring(ACCOUNT.user, "td-sleeps")
        await trio.sleep(0.3)
        assert not phone.messages
        await register(bed, [ACCOUNT], phone.port)
        await ari.answered("td-sleeps")
        await ari.ask("DELETE", "/channels/td-sleeps")
        await wait_for(phone, "BYE")


async def test_every_call_that_waits_for_a_phone_reaches_it(bed: Bed, ari: Ari) -> None:
    channels = ["td-waits-1", "td-waits-2", "td-waits-3"]
    async with open_phone(bed, ACCOUNT, asleep=True, ring_ms=50) as phone:
        for channel in channels:
            await ari.ring(ACCOUNT.user, channel)
        await trio.sleep(0.2)
        await register(bed, [ACCOUNT], phone.port)
        for channel in channels:
            await ari.answered(channel)
            await ari.ask("DELETE", f"/channels/{channel}")
            await ari.ended(channel)


async def test_a_phone_that_registers_again_while_it_rings_rings_once(bed: Bed, ari: Ari) -> None:
    async with open_phone(bed, ACCOUNT, ring_ms=5000) as phone:
        await ari.ring(ACCOUNT.user, "td-again")
        await ari.rings("td-again")
        await register(bed, [ACCOUNT], phone.port)
        await trio.sleep(0.2)
        invites = [message for message in phone.messages if message.method == "INVITE"]
        await ari.ask("DELETE", "/channels/td-again")
        await wait_for(phone, "CANCEL")

    assert len(invites) == 1


async def test_a_call_that_was_cancelled_while_the_phone_slept_never_rings(bed: Bed, ari: Ari) -> None:
    async with open_phone(bed, ACCOUNT, asleep=True) as phone:
        await ari.ring(ACCOUNT.user, "td-gave-up")
        await trio.sleep(0.2)
        await ari.ask("DELETE", "/channels/td-gave-up")
        await ari.ended("td-gave-up")
        await register(bed, [ACCOUNT], phone.port)
        await trio.sleep(0.3)

        assert not phone.messages


async def test_a_phone_that_never_registers_is_unreachable(bed: Bed, ari: Ari) -> None:
    await ari.ring(ACCOUNTS[-1].user, "td-never")

    assert (await ari.ended("td-never", within_s=RING_MS / 1000 + 3))["tech_cause"] == 480


async def test_the_first_of_an_accounts_phones_stops_ringing_when_one_that_was_woken_answers(
    bed: Bed, ari: Ari
) -> None:
    async with (
        open_phone(bed, ACCOUNT, ring_ms=5000) as first,
        open_phone(bed, ACCOUNT, asleep=True) as second,
    ):
        await ari.ring(ACCOUNT.user, "td-two")
        await ari.rings("td-two")
        await register(bed, [ACCOUNT], second.port)
        await ari.answered("td-two")
        cancel = await wait_for(first, "CANCEL")
        await ari.ask("DELETE", "/channels/td-two")

    assert cancel.header("Reason").startswith("SIP;cause=200")


async def test_an_asterisk_that_was_killed_takes_calls_again_after_its_restart(own_bed: Bed) -> None:
    await own_bed.asterisk.kill()
    assert (await panel_calls(own_bed, PANEL, "12")).final_code == 503
    await own_bed.asterisk.start()

    async with attach(own_bed) as ari, call(own_bed, ari) as (_, arguments, _):
        assert arguments[0] == f"panel={PANEL.user}"


@pytest.mark.parametrize("media", list(Media))
async def test_a_leg_offers_video_only_when_the_panel_did(bed: Bed, ari: Ari, media: Media) -> None:
    async with open_phone(bed, ACCOUNT, ring_ms=5000) as phone, call(bed, ari, media=media) as (channel, *_):
        name = f"td-{media.name.lower()}"
        await ari.ring(ACCOUNT.user, name, originator=channel)
        invite = await wait_for(phone, "INVITE")
        await ari.rings(name)
        await ari.ask("DELETE", f"/channels/{name}")

    assert bool(invite.media("video")) == (media is Media.VIDEO)
    assert invite.media("audio")


async def test_a_baresip_registers_and_unregisters_when_it_is_told(bed: Bed) -> None:
    async with open_baresip(bed, ACCOUNT, tone=440, register=False) as phone:
        assert not await bed.registered(ACCOUNT.user)
        await phone.register()
        assert await bed.registered(ACCOUNT.user)
        await phone.unregister()
        await trio.sleep(0.3)
        assert not await bed.registered(ACCOUNT.user)


@pytest.mark.parametrize("digits", list(Digits))
async def test_both_ends_hear_each_other_and_the_phones_digit_reaches_the_panel(
    bed: Bed, ari: Ari, digits: Digits
) -> None:
    name = f"talk-{digits.name}"
    async with (
        open_baresip(bed, PANEL, tone=440, register=False) as panel,
        open_baresip(bed, ACCOUNT, tone=1000, digits=digits) as phone,
    ):
        await panel.dial("12")
        channel = (await ari.panel())["channel"]["id"]
        await ari.ask("POST", f"/channels/{channel}/ring")
        await ari.ring(ACCOUNT.user, f"td-{name}", originator=channel)
        await phone.wait_event("CALL_INCOMING")
        await phone.accept()
        await ari.answered(f"td-{name}")
        await ari.ask("POST", f"/channels/{channel}/answer")
        await ari.ask("POST", f"/bridges/{name}", type="mixing,dtmf_events")
        await ari.ask("POST", f"/bridges/{name}/addChannel", channel=f"{channel},td-{name}")
        await panel.wait_event("CALL_ESTABLISHED")
        await trio.sleep(0.8)
        await phone.send_digits("5")
        assert (await panel.wait_event("CALL_DTMF_START")).data["param"] == "5"
        received = await ari.wait(lambda event: event["type"] == "ChannelDtmfReceived")
        assert (received["digit"], received["channel"]["id"]) == ("5", f"td-{name}")
        await panel.hangup()
        await ari.ask("DELETE", f"/channels/td-{name}")
        await ari.ask("DELETE", f"/bridges/{name}")
        await phone.wait_event("CALL_CLOSED")

    assert heard(panel.heard_files()[-1], 1000)
    assert heard(phone.heard_files()[-1], 440)
