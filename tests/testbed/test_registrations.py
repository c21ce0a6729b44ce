"""Who is registered, as the real Kamailio says it to a node, and what it tells nobody else."""

from __future__ import annotations

import time

import httpx
import pytest
import trio

from telephony.registrations import Registrations, SipState
from testbed.bed import Bed
from testbed.processes import HOST
from testbed.sipp import register
from tests.real.conftest import ACCOUNTS, PANELS

pytestmark = pytest.mark.real

PANEL, OTHER, NOISY, *_ = PANELS
PORT = 5999  # where nobody is called


@pytest.fixture
async def kamailio(bed: Bed, nursery: trio.Nursery) -> Registrations:
    return await asking(bed, nursery)


async def asking(bed: Bed, nursery: trio.Nursery) -> Registrations:
    asked = Registrations(bed.kamailio_url, "node1")
    await nursery.start(asked.run)
    return asked


async def test_a_panel_that_has_registered_is_seen_with_address_time_and_what_it_is(
    bed: Bed, kamailio: Registrations
) -> None:
    before = time.time()
    await register(bed, [PANEL], PORT, expires_s=300, user_agent="Beward DKS15122 4.3.1")

    said = await kamailio.of(PANEL.user)

    assert (said.state, said.why, said.node) == (SipState.REGISTERED, "", "node1")
    (contact,) = said.contacts
    assert (contact.address, contact.transport) == (f"{HOST}:{PORT}", "udp")
    assert contact.user_agent == "Beward DKS15122 4.3.1"
    assert before - 1 <= contact.at <= time.time() + 1
    assert contact.until is not None
    assert before + 290 < contact.until <= time.time() + 301

    await register(bed, [PANEL], PORT, expires_s=0)
    said = await kamailio.of(PANEL.user)
    assert (said.state, said.contacts) == (SipState.NOT_REGISTERED, ())


async def test_what_a_panel_calls_itself_does_no_harm(bed: Bed, kamailio: Registrations) -> None:
    hostile = """<b>"Иван"\\", "Address": "sip:x@y"}]}, '1 \x07 $rb \u202e""" + 150 * "x"
    await register(bed, [NOISY], PORT, user_agent=hostile)

    (contact,) = (await kamailio.of(NOISY.user)).contacts

    assert contact.user_agent.startswith("""<b>"Иван"\\", "Address": "sip:x@y"}]}, '1 $rb xxx""")
    assert len(contact.user_agent) <= 200
    assert contact.address == f"{HOST}:{PORT}"


async def test_of_many_panels_those_are_said_that_are_registered(bed: Bed, kamailio: Registrations) -> None:
    await register(bed, [*ACCOUNTS, OTHER], PORT)
    mine = [each.user for each in (*ACCOUNTS, OTHER)]
    strangers = [f"nobody-{n}" for n in range(3000)]

    said = await kamailio.of_many([*mine, *strangers, "no name!", "500001,500002", f"{OTHER.user}x"])

    assert said.state is SipState.REGISTERED
    assert set(said.registered) == set(mine)


@pytest.mark.parametrize("panel", ["", "a b", 'x","y', "x" * 65, "../ul.dump", "500001\r\nx: y"])
async def test_what_is_no_sip_user_is_not_asked_for(kamailio: Registrations, panel: str) -> None:
    assert (await kamailio.of(panel)).state is SipState.UNKNOWN


async def test_nothing_else_can_be_asked_there(bed: Bed) -> None:
    kill = {"jsonrpc": "2.0", "method": "core.kill", "id": 1}
    async with httpx.AsyncClient(base_url=bed.kamailio_url) as client:
        for path in ("/", "/RPC", "/contacts/", "/registered", "/contacts/panel1"):
            answer = await client.post(path, json=kill)
            assert (answer.status_code, answer.content) == ((200 if path == "/registered" else 404), b"")
        for path in (
            "/",
            "/contacts/",
            '/contacts/x","y',
            "/contacts/a/b",
            "/ul.dump",
            "/contacts/" + 65 * "x",
        ):
            answer = await client.get(path, headers={"content-length": "0"})
            assert (answer.status_code, answer.content) == (404, b"")


async def test_where_panels_and_phones_come_no_question_is_answered(bed: Bed) -> None:
    await register(bed, [PANEL], PORT)
    question = (
        f"POST /registered HTTP/1.1\r\nHost: x\r\nContent-Length: {len(PANEL.user)}\r\n\r\n{PANEL.user}"
    )

    assert await over_tcp(*bed.kamailio_sip, question.encode()) == b""
    port = httpx.URL(bed.kamailio_url).port or 0
    assert f"{PANEL.user},".encode() in await over_tcp(HOST, port, question.encode())


async def test_where_nodes_ask_no_sip_is_answered(bed: Bed) -> None:
    port = httpx.URL(bed.kamailio_url).port or 0
    request = (
        f"OPTIONS sip:{HOST}:{port} SIP/2.0\r\nVia: SIP/2.0/TCP {HOST}:9;branch=z9hG4bK-1\r\nFrom: <sip:a@b>;tag=1\r\n"
        f"To: <sip:{HOST}>\r\nCall-ID: node-port\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 9\r\nContent-Length: 0\r\n\r\n"
    ).encode()

    assert await over_tcp(HOST, port, request) == b""
    assert b"200 OK" in await over_tcp(*bed.kamailio_sip, request)


async def over_tcp(host: str, port: int, request: bytes) -> bytes:
    """What comes back within half a second."""
    stream = await trio.open_tcp_stream(host, port)
    async with stream:
        await stream.send_all(request)
        with trio.move_on_after(0.5):
            return await stream.receive_some(4096)
    return b""


async def test_with_kamailio_away_nothing_is_known_and_a_restart_forgets(
    own_bed: Bed, nursery: trio.Nursery
) -> None:
    kamailio = await asking(own_bed, nursery)
    await register(own_bed, [PANEL], PORT)
    assert (await kamailio.of(PANEL.user)).state is SipState.REGISTERED

    await own_bed.kamailio.stop()
    one, many = await kamailio.of(PANEL.user), await kamailio.of_many([PANEL.user])

    assert (one.state, many.state, many.registered) == (SipState.UNKNOWN, SipState.UNKNOWN, ())
    assert own_bed.kamailio_url in one.why
    assert "LISTEN_NODE" in one.why

    await own_bed.kamailio.start()
    assert (await kamailio.of(PANEL.user)).state is SipState.NOT_REGISTERED
