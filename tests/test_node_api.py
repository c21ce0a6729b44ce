"""What the CRM may ask of a node, by a real client over a real socket: who is answered, and with what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import trio
from prometheus_client import CollectorRegistry

import health
from live import PanelLock, RingRefused
from node_api import NodeApi, _is_local, find_recording, wanted_range
from telephony.registrations import ASKED_MAX, NOT_SET, Registrations
from tests.telephony.kamailio import PaperKamailio, contact, found

TOKEN = "node-secret"
SOUND = bytes(range(200))


class PaperLive:
    """Says what it was asked."""

    def as_json(self, calls: int) -> bytes:
        return b'{"calls":%d}' % calls

    def lock_of(self, sip_user: str) -> PanelLock:
        return PanelLock(panel=sip_user, node="node1", held_for="visitor", since=12.5)


class PaperRings:
    def __init__(self) -> None:
        self.asked: list[tuple[int, str]] = []
        self.why_not = ""

    def ring(self, flat_id: int, who: str) -> str:
        if self.why_not:
            raise RingRefused(self.why_not)
        self.asked.append((flat_id, who))
        return "84c5a505c31e2aac"


@pytest.fixture
def rings() -> PaperRings:
    return PaperRings()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "monitor"
    (folder / "quality").mkdir(parents=True)
    (folder / "quality/a.wav").write_bytes(SOUND)
    (folder / "quality/a.svg").write_text("<svg/>")
    (folder / "journal.db").write_text("not for anybody")
    (tmp_path / "outside.wav").write_bytes(b"outside")
    (folder / "link.wav").symlink_to(tmp_path / "outside.wav")
    return folder


async def serve(
    nursery: trio.Nursery, rings: PaperRings, folder: Path, token: str, kamailio: str = ""
) -> str:
    registrations = Registrations(kamailio, "node1")
    await nursery.start(registrations.run)
    api = NodeApi(token, PaperLive(), rings.ring, [folder], registrations)
    start = partial(health.serve, "127.0.0.1:0", dict, api=api, registry=CollectorRegistry())
    url: str = await nursery.start(start)
    return url


@pytest.fixture
async def client(nursery: trio.Nursery, rings: PaperRings, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    url = await serve(nursery, rings, folder, TOKEN)
    async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {TOKEN}"}) as client:
        yield client


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN])
@pytest.mark.parametrize(
    "path",
    [
        "/live.json",
        "/domophones/500001.json",
        "/registrations/500001.json",
        "/recordings/quality/a.wav",
    ],
)
async def test_without_the_secret_nothing_is_told(
    client: httpx.AsyncClient, path: str, authorization: str
) -> None:
    answer = await client.get(path, headers={"authorization": authorization})
    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert (answer.json()["status"], answer.json()["title"]) == (401, "Unauthorized")


async def test_without_the_secret_no_flat_is_rung(client: httpx.AsyncClient, rings: PaperRings) -> None:
    answer = await client.post(
        "/ring", json={"flat_id": 7, "who": "anna"}, headers={"authorization": "Bearer wrong"}
    )
    assert answer.status_code == 401
    assert rings.asked == []


async def test_without_the_secret_nobody_says_who_is_registered(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/registered", json={"panels": ["500001"]}, headers={"authorization": "Bearer wrong"}
    )
    assert answer.status_code == 401


async def test_registrations_are_kamailios(nursery: trio.Nursery, rings: PaperRings, folder: Path) -> None:
    kamailio = await nursery.start(PaperKamailio({"500001": found(contact())}).serve)
    url = await serve(nursery, rings, folder, "", kamailio)
    async with httpx.AsyncClient(base_url=url) as client:
        there = (await client.get("/registrations/500001.json")).json()
        gone = (await client.get("/registrations/500002.json")).json()
        many = (await client.post("/registered", json={"panels": ["500001", "500002"]})).json()

    assert (there["state"], there["node"], there["panel"]) == ("registered", "node1", "500001")
    assert there["contacts"][0]["address"] == "10.1.2.3:5062"
    assert (gone["state"], gone["contacts"]) == ("not_registered", [])
    assert (many["state"], many["registered"]) == ("registered", ["500001"])


async def test_without_a_kamailio_that_is_said(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/registrations/500001.json")).json()
    assert (answer["state"], answer["why"]) == ("not_asked", NOT_SET)
    assert (await client.get("/registrations/500001")).status_code == 404


@pytest.mark.parametrize("body", [b"", b"{}", b'{"panels":"500001"}', b'{"panels":[1]}'])
async def test_what_does_not_name_panels_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/registered", content=body)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


async def test_panels_are_asked_for_a_thousand_at_once(client: httpx.AsyncClient) -> None:
    names = [f"{n:064}" for n in range(ASKED_MAX + 1)]
    assert (await client.post("/registered", json={"panels": names[:-1]})).status_code == 200
    assert (await client.post("/registered", json={"panels": names})).status_code == 400


async def test_probes_need_no_secret(client: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await client.get(path, headers={"authorization": ""})).status_code == 200


async def test_where_no_secret_is_set_this_machine_is_answered(
    nursery: trio.Nursery, rings: PaperRings, folder: Path
) -> None:
    url = await serve(nursery, rings, folder, "")
    async with httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/live.json")).json() == {"calls": 100}


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("localhost", False),
        ("", False),
    ],
)
def test_only_loopback_is_this_machine(host: str, local: bool) -> None:
    assert _is_local(host) is local


async def test_the_board_has_as_many_calls_as_are_asked_for(client: httpx.AsyncClient) -> None:
    assert (await client.get("/live.json")).json() == {"calls": 100}
    answer = await client.get("/live.json", params={"calls": 7})
    assert (answer.json(), answer.headers["content-type"]) == ({"calls": 7}, "application/json")
    assert answer.headers["cache-control"] == "no-store"
    assert (await client.get("/live.json", params={"calls": 1_000_000})).status_code == 400


async def test_a_panels_lock_is_told_by_its_sip_user(client: httpx.AsyncClient) -> None:
    answer = await client.get("/domophones/500001.json")
    assert answer.json() == {"panel": "500001", "node": "node1", "held_for": "visitor", "since": 12.5}
    assert (await client.get("/domophones/500001")).status_code == 404


async def test_a_ring_is_taken_at_once_with_its_calls_id(
    client: httpx.AsyncClient, rings: PaperRings
) -> None:
    answer = await client.post("/ring", json={"flat_id": 7, "who": "anna"})
    assert (answer.status_code, answer.json()) == (202, {"call_id": "84c5a505c31e2aac"})
    assert rings.asked == [(7, "anna")]


async def test_a_ring_that_cannot_be_made_says_why(client: httpx.AsyncClient, rings: PaperRings) -> None:
    rings.why_not = "20 flats are being rung"
    answer = await client.post("/ring", json={"flat_id": 7, "who": "anna"})
    assert (answer.status_code, answer.json()["detail"]) == (503, "20 flats are being rung")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"flat_id":"7","who":"a"}', b'{"flat_id":7,"who":" "}'])
async def test_a_ring_that_is_asked_for_wrongly_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/ring", content=body)
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("application/problem+json")


async def test_a_recording_is_played_as_a_whole_and_in_parts(client: httpx.AsyncClient) -> None:
    whole = await client.get("/recordings/quality/a.wav")
    assert (whole.status_code, whole.content) == (200, SOUND)
    assert (whole.headers["content-type"], whole.headers["accept-ranges"]) == ("audio/wav", "bytes")
    assert whole.headers["content-length"] == "200"

    part = await client.get("/recordings/quality/a.wav", headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, SOUND[10:20])
    assert part.headers["content-range"] == "bytes 10-19/200"
    assert part.headers["content-length"] == "10"

    beyond = await client.get("/recordings/quality/a.wav", headers={"range": "bytes=200-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */200")


async def test_a_recording_named_by_a_time_as_the_dialplan_does_is_played(
    client: httpx.AsyncClient, folder: Path
) -> None:
    name = "quality/node1-1795673948.25-2026-11-26-06:19:08"
    (folder / f"{name}.wav").write_bytes(SOUND)
    (folder / f"{name}.svg").write_text("<svg/>")

    sound = await client.get(f"/recordings/{quote(name)}.wav")
    picture = await client.get(f"/recordings/{name}.svg")
    assert (sound.status_code, sound.content, picture.status_code) == (200, SOUND, 200)


async def test_a_picture_may_do_nothing_but_be_seen(client: httpx.AsyncClient) -> None:
    answer = await client.get("/recordings/quality/a.svg")
    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "name",
    ["quality/b.wav", "journal.db", "%2e%2e/outside.wav", "quality/%2e%2e/%2e%2e/outside.wav", "link.wav"],
)
async def test_what_is_no_recording_is_not_served(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.get(f"/recordings/{name}")
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "name",
    [
        "../outside.wav",
        "quality/../../outside.wav",
        "/etc/x.wav",
        ".a.wav",
        "a\0.wav",
        "",
        "quality",
        "a.wav/",
    ],
)
def test_a_name_leads_nowhere_else(folder: Path, name: str) -> None:
    assert find_recording([folder], name) is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=5-", (5, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-30", (0, 10)),
        ("bytes=2-99", (2, 10)),
        ("bytes=10-", None),
        ("bytes=-0", None),
        ("bytes=5-2", (0, 10)),
        ("bytes=-", (0, 10)),
        ("bytes=0-1,3-4", (0, 10)),
        ("chars=0-1", (0, 10)),
    ],
)
def test_ranges_are_read_as_rfc_9110_says(header: str, expected: tuple[int, int] | None) -> None:
    assert wanted_range(header, 10) == expected
