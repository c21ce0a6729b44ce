"""The dispatch at the end of a trunk, and what of a location comes there: through a real ARI and a real Asterisk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from itertools import count

import pytest
import trio

from telephony.location import Civic, Location, Point, location_variables
from testbed.bed import Bed
from testbed.dispatch import dispatch_calls, open_dispatch, trunk_is
from testbed.pidf import BadLocation, sent_location
from testbed.sipp import SipMessage, panel_calls, wait_for
from tests.real.conftest import PANELS
from tests.testbed.ari import Ari, attach

pytestmark = pytest.mark.real

TRUNK, NUMBER = "dispatch-1", "+73512000001"
ENTITY = f"pres:{NUMBER}@teledom"
ADDRESS = Civic("RU", "Челябинская область", "Челябинск", "ул. Ленина", "5", "п. 1", "2", "слева от двери")
POINT = Point(55.1599, 61.4026)
_numbers = count(1)


@pytest.fixture
async def ari(bed: Bed) -> AsyncIterator[Ari]:
    async with attach(bed, "TdCallSOS") as ari:
        yield ari


async def call_dispatch(ari: Ari, variables: Mapping[str, str]) -> str:
    """A leg to the dispatch, created with its number and variables and then dialled; its id."""
    leg = f"td-dispatch-{next(_numbers)}"
    identity = {"CONNECTEDLINE(all)": f"<{NUMBER}>", "CONNECTEDLINE(pres)": "allowed"}
    await ari.ask(
        "POST",
        "/channels/create",
        {"variables": {**identity, **variables}},
        endpoint=f"PJSIP/112@{TRUNK}",
        app="TdCallSOS",
        appArgs="leg",
        channelId=leg,
    )
    await ari.wait(lambda e: e["type"] == "StasisStart" and e["channel"]["id"] == leg)
    await ari.ask("POST", f"/channels/{leg}/dial")
    return leg


async def sent(bed: Bed, ari: Ari, location: Location) -> SipMessage:
    """The INVITE that came to the dispatch for a call with that location."""
    async with open_dispatch(bed, TRUNK, ring_ms=20_000) as dispatch:
        leg = await call_dispatch(ari, location_variables(location, entity=ENTITY))
        invite = await wait_for(dispatch, "INVITE")
        await ari.rings(leg)
        await ari.ask("DELETE", f"/channels/{leg}")
        await ari.ended(leg)
    return invite


async def test_an_address_comes_with_the_number_and_the_point(bed: Bed, ari: Ari) -> None:
    invite = await sent(bed, ari, Location(ADDRESS, POINT))

    location = sent_location(invite)
    assert location is not None
    assert invite.header("From").startswith(f"<sip:{NUMBER}@")
    assert invite.header("P-Asserted-Identity").startswith(f"<sip:{NUMBER}@")
    assert location.entity == ENTITY
    assert location.method == "Manual"
    assert location.civic == {
        "country": "RU",
        "A1": "Челябинская область",
        "A3": "Челябинск",
        "RD": "ул. Ленина",
        "HNO": "5",
        "LOC": "п. 1, слева от двери",
        "FLR": "2",
    }
    assert location.point == (55.1599, 61.4026)
    assert location.geolocation[0].startswith("cid:")
    assert location.geolocation[1:] == ("geo:55.159900,61.402600",)
    assert location.routing == "yes"
    assert "m=audio" in location.sdp
    assert "CN/8000" not in location.sdp


async def test_a_point_alone_comes_as_the_location(bed: Bed, ari: Ari) -> None:
    location = sent_location(await sent(bed, ari, Location(Civic("RU", "", ""), POINT)))

    assert location is not None
    assert (location.civic, location.point) == ({}, (55.1599, 61.4026))
    assert len(location.geolocation) == 1


async def test_a_default_location_is_marked(bed: Bed, ari: Ari) -> None:
    area = Location(Civic("RU", "Челябинская область", "Копейск"), is_default=True)
    location = sent_location(await sent(bed, ari, area))

    assert location is not None
    assert location.method == "Default"
    assert location.civic == {"country": "RU", "A1": "Челябинская область", "A3": "Копейск"}


@pytest.mark.parametrize(
    "nasty",
    [
        'дом "Уют", корп. 2',
        "a=b,c='d'",
        "back\\slash\\",
        "${CHANNEL} ${SIP_REALM} $[1+1]",
        "<b>A & B</b> ]]> &amp; &lt;",
        '\\\\\\"',
        "ж" * 120,
    ],
)
async def test_what_is_written_is_what_is_read(bed: Bed, ari: Ari, nasty: str) -> None:
    location = sent_location(await sent(bed, ari, Location(Civic("RU", "", "Челябинск", nasty, "5"))))

    assert location is not None
    assert location.civic == {"country": "RU", "A3": "Челябинск", "RD": nasty, "HNO": "5"}


async def test_without_a_location_none_is_sent(bed: Bed, ari: Ari) -> None:
    invite = await sent(bed, ari, Location(Civic("", "", "")))

    assert sent_location(invite) is None
    assert invite.media("audio").split()[3] == "8"  # A-law before all


@pytest.mark.parametrize("code", [415, 488])
async def test_a_dispatch_may_refuse_a_location_and_take_the_call_without(
    bed: Bed, ari: Ari, code: int
) -> None:
    async with open_dispatch(
        bed, TRUNK, refuses_multipart=True, multipart_code=code, ring_ms=20_000
    ) as dispatch:
        leg = await call_dispatch(ari, location_variables(Location(ADDRESS)))
        assert (await ari.ended(leg))["tech_cause"] == code
        leg = await call_dispatch(ari, {})
        await ari.rings(leg)
        await ari.ask("DELETE", f"/channels/{leg}")
        await wait_for(dispatch, "CANCEL")


@pytest.mark.parametrize("code", [404, 480, 486, 500, 503, 603])
async def test_why_a_dispatch_refused_is_known(bed: Bed, ari: Ari, code: int) -> None:
    async with open_dispatch(bed, TRUNK, refuses_with=code):
        leg = await call_dispatch(ari, {})
        assert (await ari.ended(leg))["tech_cause"] == code


async def test_a_busy_dispatch_answers_later(bed: Bed, ari: Ari) -> None:
    async with open_dispatch(bed, TRUNK, busy_first=1, ring_ms=20) as dispatch:
        assert (await ari.ended(await call_dispatch(ari, {})))["tech_cause"] == 486
        leg = await call_dispatch(ari, {})
        await ari.wait(lambda e: e.get("channel", {}).get("id") == leg and e["channel"]["state"] == "Up")
        await ari.ask("DELETE", f"/channels/{leg}")
        await wait_for(dispatch, "BYE")


async def test_whether_a_dispatch_is_there_is_soon_known(bed: Bed) -> None:
    async with open_dispatch(bed, TRUNK):
        await trunk_is(bed, TRUNK, "online", within_s=1)
    await trunk_is(bed, TRUNK, "offline", within_s=4)


async def test_a_silent_dispatch_replies_to_nothing_but_options(own_bed: Bed) -> None:
    async with attach(own_bed, "TdCallSOS") as ari, open_dispatch(own_bed, TRUNK, silent=True) as dispatch:
        leg = await call_dispatch(ari, {})
        await wait_for(dispatch, "INVITE")
        await trio.sleep(1.5)
        await ari.ask("DELETE", f"/channels/{leg}")
        await ari.ended(leg)
        replied = {m.header("CSeq").split()[1] for m in dispatch.messages if m.sent}

    assert replied <= {"OPTIONS"}


async def test_a_call_back_reaches_the_application_with_its_number_caller_and_trunk(
    bed: Bed, ari: Ari
) -> None:
    async with trio.open_nursery() as nursery:
        codes: list[int] = []

        async def call_back() -> None:
            codes.append((await dispatch_calls(bed, "dispatch-2", NUMBER, caller="+73512630000")).final_code)

        nursery.start_soon(call_back)
        start = await ari.panel()
        channel = start["channel"]["id"]
        await ari.ask("POST", f"/channels/{channel}/ring")
        await ari.ask("DELETE", f"/channels/{channel}", reason="busy")

    assert codes == [486]
    assert start["args"] == [
        f"number={NUMBER}",
        "caller=+73512630000",
        "trunk=dispatch-2",
        f"recording=sos/{channel}.wav",
    ]


async def test_what_a_caller_says_of_itself_is_only_ever_a_number(bed: Bed, ari: Ari) -> None:
    async with trio.open_nursery() as nursery:

        async def call_back() -> None:
            await dispatch_calls(bed, TRUNK, NUMBER, caller="1$(id),'&2")

        nursery.start_soon(call_back)
        start = await ari.panel()
        await ari.ask("DELETE", f"/channels/{start['channel']['id']}")

    assert start["args"][1] == "caller=12"


async def test_a_panel_can_not_say_where_it_is(bed: Bed, ari: Ari) -> None:
    forged = "X-Td-City: 8750a108-0adb-54c2-a1ac-7dda1c9159bc"
    async with trio.open_nursery() as nursery:

        async def press() -> None:
            await panel_calls(bed, PANELS[0], "SOS", headers=forged)

        nursery.start_soon(press)
        start = await ari.panel()
        channel = start["channel"]["id"]
        await ari.ask("DELETE", f"/channels/{channel}")

    assert start["args"] == [f"panel={PANELS[0].user}", "city=", f"recording=sos/{channel}.wav"]


def _invite(element: str) -> SipMessage:
    body = f"""--b
Content-Type: application/sdp

v=0

--b
Content-ID: <x@y>
Content-Type: application/pidf+xml

<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:gp="urn:ietf:params:xml:ns:pidf:geopriv10"
 xmlns:ca="urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr" entity="pres:a@b"><tuple id="a"><status><gp:geopriv>
<gp:location-info><ca:civicAddress>{element}</ca:civicAddress></gp:location-info>
</gp:geopriv></status></tuple></presence>
--b--"""
    headers = (("Content-Type", "multipart/mixed;boundary=b"), ("Geolocation", "<cid:x@y>"))
    return SipMessage(False, "INVITE sip:112@h SIP/2.0", headers, body)


def test_a_civic_element_that_no_schema_has_is_noticed() -> None:
    good = sent_location(_invite("<ca:A3>Челябинск</ca:A3>"))

    assert good is not None
    assert good.civic == {"A3": "Челябинск"}
    with pytest.raises(BadLocation, match="ENTRANCE"):
        sent_location(_invite("<ca:ENTRANCE>1</ca:ENTRANCE>"))
    with pytest.raises(BadLocation, match="order"):
        sent_location(_invite("<ca:A3>Челябинск</ca:A3><ca:A1>Область</ca:A1>"))
    with pytest.raises(BadLocation, match="empty"):
        sent_location(_invite(""))
