"""Asterisk out of the node's sight: a lost connection, a restart, a wrong password; and every way to reach it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trio
import trustme

from config import AriTransport
from crm.values.records import EntryKind, LegEnd, Outcome
from testbed.audio import measure
from testbed.baresip import open_baresip
from testbed.cable import Cable, open_cable
from testbed.processes import HOST
from testbed.sipp import open_phone, panel_calls, wait_for
from testbed.town_bed import RunningNode, TownBed, legs, open_node, visiting

PANEL, FLAT = "500001", "2"


@asynccontextmanager
async def open_cabled_node(place: TownBed, folder: Path) -> AsyncIterator[tuple[RunningNode, Cable]]:
    """A node whose connections to Asterisk can be cut."""
    port = urlsplit(place.bed.ari_url).port
    assert port is not None
    async with (
        open_cable(port) as cable,
        open_node(place, folder, ari={"url": f"http://{HOST}:{cable.port}/ari"}) as running,
    ):
        yield running, cable


async def cut(running: RunningNode, cable: Cable) -> None:
    cable.cut()
    await running.not_ready("asterisk")


async def test_a_talk_goes_on_through_a_lost_connection_and_ends_as_it_should(
    place: TownBed, tmp_path: Path
) -> None:
    (account,) = place.accounts(PANEL, FLAT)
    async with (
        open_cabled_node(place, tmp_path) as (running, cable),
        open_baresip(place.bed, place.panel(PANEL), tone=440, register=False) as panel,
        open_baresip(place.bed, account, tone=1000) as phone,
    ):
        await panel.dial(FLAT)
        await phone.wait_event("CALL_INCOMING")
        await phone.accept()
        await running.noted(EntryKind.BRIDGED)
        await panel.wait_event("CALL_ESTABLISHED")
        await cut(running, cable)
        await trio.sleep(0.7)  # the sound that is measured
        cable.mend()
        await running.ready()
        await phone.send_digits("5")
        await running.noted(EntryKind.DOOR, by=account.user)
        await panel.hangup()
        await phone.wait_event("CALL_CLOSED")
        record = await running.call()

    assert measure(panel.heard_files()[-1]).heard_s > 0.7
    assert record.outcome is Outcome.TALKED
    assert legs(record)[account.user].end is LegEnd.DROPPED


async def test_a_hangup_while_the_connection_was_lost_is_noticed_after_it(
    place: TownBed, tmp_path: Path
) -> None:
    async with (
        open_cabled_node(place, tmp_path) as (running, cable),
        open_phone(place.bed, *place.accounts(PANEL, FLAT)) as phone,
    ):
        async with visiting(place, PANEL, FLAT, talk_ms=700):
            await running.noted(EntryKind.BRIDGED)
            await cut(running, cable)
        assert not any(message.method == "BYE" for message in phone.messages)
        cable.mend()
        await wait_for(phone, "BYE")
        await place.nothing_left()
        record = await running.call()

    assert record.outcome is Outcome.TALKED
    assert record.entries[-1].data["by"] == "panel"


async def test_an_answer_while_the_connection_was_lost_keeps_no_other_phone_from_answering(
    place: TownBed, tmp_path: Path
) -> None:
    """Asterisk itself hangs up a leg that is answered while its application has no connection."""
    hasty, patient = place.accounts("500001", "1")
    async with (
        open_cabled_node(place, tmp_path) as (running, cable),
        open_phone(place.bed, hasty, ring_ms=800) as phone,
        open_phone(place.bed, patient, ring_ms=2500),
    ):
        async with visiting(place, "500001", "1") as visit:
            await running.noted(EntryKind.RINGING, account=patient.user)
            await cut(running, cable)
            await wait_for(phone, "BYE")
            cable.mend()
            await running.noted(EntryKind.BRIDGED, account=patient.user)
        record = await running.call()

    assert visit.result.final_code == 200
    assert record.outcome is Outcome.TALKED
    assert legs(record)[hasty.user].end in (LegEnd.LOST, LegEnd.FAILED)


async def test_ringing_while_the_connection_was_lost_goes_on_and_is_answered_after_it(
    place: TownBed, tmp_path: Path
) -> None:
    (account,) = place.accounts(PANEL, FLAT)
    async with (
        open_cabled_node(place, tmp_path) as (running, cable),
        open_baresip(place.bed, account, tone=1000) as phone,
    ):
        async with visiting(place, PANEL, FLAT) as visit:
            await phone.wait_event("CALL_INCOMING")
            await cut(running, cable)
            cable.mend()
            await running.ready()
            await phone.accept()
            await running.noted(EntryKind.BRIDGED)
        record = await running.call()

    assert visit.result.final_code == 200
    assert record.outcome is Outcome.TALKED
    assert len(legs(record)) == 1


async def test_a_visitor_who_gave_up_while_the_connection_was_lost_keeps_nobody_ringing(
    place: TownBed, tmp_path: Path
) -> None:
    async with (
        open_cabled_node(place, tmp_path) as (running, cable),
        open_phone(place.bed, *place.accounts(PANEL, FLAT), ring_ms=20_000) as phone,
    ):
        async with visiting(place, PANEL, FLAT, give_up_ms=700):
            await running.noted(EntryKind.RINGING)
            await cut(running, cable)
        cable.mend()
        await wait_for(phone, "CANCEL")
        record = await running.call()

    assert record.outcome is Outcome.GAVE_UP


async def test_a_call_that_came_while_nobody_looked_is_refused_and_the_next_one_is_carried(
    place: TownBed, tmp_path: Path
) -> None:
    async with (
        open_cabled_node(place, tmp_path) as (running, cable),
        open_phone(place.bed, *place.accounts(PANEL, FLAT)),
    ):
        await cut(running, cable)
        meanwhile = await panel_calls(place.bed, place.panel(PANEL), FLAT)
        cable.mend()
        await running.ready()
        after = await panel_calls(place.bed, place.panel(PANEL), FLAT)

    assert meanwhile.final_code == 503
    assert after.final_code == 200


async def test_a_restarted_asterisk_is_attached_to_again_and_what_it_had_is_closed(
    own_place: TownBed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = own_place
    async with (
        open_node(place, tmp_path / "asterisk") as running,
        open_phone(place.bed, *place.accounts(PANEL, FLAT)),
    ):
        async with visiting(place, PANEL, FLAT, talk_ms=200):
            await running.noted(EntryKind.BRIDGED)
            await place.bed.asterisk.kill()
            why = await running.not_ready("asterisk")
        await trio.sleep(1)  # several attempts to connect
        assert running.node.readiness()["asterisk"]
        await place.bed.asterisk.start()
        await running.ready()
        lost = await running.call()
        async with visiting(place, PANEL, FLAT) as visit:
            pass
        _, talked = await running.calls(2)

    assert place.bed.ari_url in why
    assert lost.outcome is Outcome.TALKED
    assert all(leg.end is not None for leg in lost.legs)
    assert visit.result.final_code == 200
    assert talked.outcome is Outcome.TALKED
    said = [line for line in capsys.readouterr().out.splitlines() if "[error" in line or "[warning" in line]
    assert len(said) <= 3, said


async def test_a_node_waits_for_an_asterisk_that_is_not_there_yet(own_place: TownBed, tmp_path: Path) -> None:
    place = own_place
    await place.bed.asterisk.stop()
    async with open_node(place, tmp_path / "asterisk", wait_ready=False) as running:
        assert place.bed.ari_url in await running.not_ready("asterisk")
        await place.bed.asterisk.start()
        await running.ready()


async def test_a_wrong_password_is_said_once_and_what_to_compare(
    place: TownBed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_node(place, tmp_path, ari={"password": "wrong"}, wait_ready=False) as running:
        why = await running.not_ready("asterisk", saying="TELEDOM_ARI_PASSWORD")
        await trio.sleep(1)  # several attempts to connect

    assert "'teledom'" in why
    said = [line for line in capsys.readouterr().out.splitlines() if "TELEDOM_ARI_PASSWORD" in line]
    assert len(said) == 1
    assert "wrong'" not in said[0]


@pytest.mark.parametrize("transport", list(AriTransport))
async def test_each_transport_carries_a_call(place: TownBed, tmp_path: Path, transport: AriTransport) -> None:
    first, other = place.accounts("500001", "1")
    async with (
        open_node(place, tmp_path, ari={"transport": transport}) as running,
        open_phone(place.bed, first),
        open_phone(place.bed, other, ring_ms=20_000),
    ):
        async with visiting(place, "500001", "1") as visit:
            pass
        record = await running.call()

    assert visit.result.final_code == 200
    assert record.outcome is Outcome.TALKED
    assert legs(record)[other.user].end is LegEnd.ANSWERED_ELSEWHERE


async def test_over_tls_a_known_certificate_is_taken_and_an_unknown_one_refused(
    own_place: TownBed, tmp_path: Path
) -> None:
    place, port = own_place, own_place.bed.ports.take()
    folder = tmp_path / "asterisk" / "etc" / "site"
    authority = trustme.CA()
    certificate = authority.issue_cert(HOST)
    certificate.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with (folder / "http.conf").open("a") as file:
        file.write(
            f"tlsenable = yes\ntlsbindaddr = {HOST}:{port}\ntlscertfile = {folder}/cert.pem\n"
            f"tlsprivatekey = {folder}/key.pem\n"
        )
    await place.bed.asterisk.restart()
    url = f"https://{HOST}:{port}/ari"

    async with open_node(place, tmp_path, ari={"url": url}, wait_ready=False) as running:
        await running.not_ready("asterisk", saying="certificate is not trusted")
    settings = {"url": url, "ca_file": str(tmp_path / "ca.pem")}
    async with (
        open_node(place, tmp_path, ari=settings) as running,
        open_phone(place.bed, *place.accounts(PANEL, FLAT)),
    ):
        async with visiting(place, PANEL, FLAT) as visit:
            pass
        assert (await running.call()).outcome is Outcome.TALKED

    assert visit.result.final_code == 200
