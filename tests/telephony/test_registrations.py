"""What a node makes of Kamailio's answers, and of none: a fact or unknown. The real one's are in tests/testbed."""

from __future__ import annotations

import re

import pytest
import trio

from telephony.registrations import (
    BODY_MAX,
    DEADLINE_S,
    NOT_SET,
    Contact,
    Registrations,
    SipRegistered,
    SipRegistration,
    SipState,
    one_of,
    together,
)
from tests.telephony.kamailio import PaperKamailio, contact, found

PANEL = "500001"
NOW = 1_000_100.0


async def asking(
    nursery: trio.Nursery, paper: PaperKamailio, deadline_s: float = DEADLINE_S
) -> Registrations:
    url = await nursery.start(paper.serve)
    asked = Registrations(url, "node1", deadline_s=deadline_s, wall_clock=lambda: NOW)
    await nursery.start(asked.run)
    return asked


async def said_of(nursery: trio.Nursery, content: bytes) -> SipRegistration:
    return await (await asking(nursery, PaperKamailio({PANEL: content}))).of(PANEL)


async def test_a_contact_is_where_when_and_what(nursery: trio.Nursery) -> None:
    said = await said_of(nursery, found(contact(Expires=500)))

    (known,) = said.contacts
    assert said.state is SipState.REGISTERED
    assert known == Contact(
        address="10.1.2.3:5062", transport="udp", user_agent="Beward DKS", at=1_000_000.0, until=NOW + 500
    )


async def test_behind_nat_a_panel_is_where_it_was_seen(nursery: trio.Nursery) -> None:
    behind = contact(Received="sip:198.51.100.7:41000;transport=tcp", Socket="tcp:10.0.0.1:5060")
    (known,) = (await said_of(nursery, found(behind))).contacts

    assert (known.address, known.transport) == ("198.51.100.7:41000", "tcp")


async def test_the_newest_contact_is_the_first(nursery: trio.Nursery) -> None:
    older, newer = contact(Last_Modified=5, User_Agent="old"), contact(Last_Modified=7, User_Agent="new")
    said = await said_of(nursery, found(older, newer))

    assert [each.user_agent for each in said.contacts] == ["new", "old"]


async def test_what_has_run_out_or_was_taken_back_is_no_registration(nursery: trio.Nursery) -> None:
    over = found(contact(Expires="expired"), contact(Expires="deleted"), contact(Expires=0))
    assert (await said_of(nursery, over)).state is SipState.NOT_REGISTERED


async def test_what_never_runs_out_has_no_end(nursery: trio.Nursery) -> None:
    (known,) = (await said_of(nursery, found(contact(Expires="permanent", User_Agent="n/a")))).contacts
    assert (known.until, known.user_agent) == (None, "")


async def test_a_strangers_text_is_cleaned(nursery: trio.Nursery) -> None:
    raw = found(contact(User_Agent="a\u202e\nb" + 300 * "x")).replace(b"xxx", b"\xff\xfex", 1)
    (known,) = (await said_of(nursery, raw)).contacts

    assert known.user_agent.startswith("a b\ufffd\ufffdx")
    assert len(known.user_agent) == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"error":{"code":500,"message":"AOR not found"}}',
        b'{"result":{"Contacts":[{}]}}',
    ],
)
async def test_what_is_not_understood_is_unknown(nursery: trio.Nursery, raw: bytes) -> None:
    said = await said_of(nursery, raw)
    assert (said.state, said.contacts) == (SipState.UNKNOWN, ())
    assert "not understood" in said.why


async def test_another_server_than_ours_is_said_to_be_one(nursery: trio.Nursery) -> None:
    kamailio = await asking(nursery, PaperKamailio(status=404))
    assert "kamailio.cfg" in (await kamailio.of(PANEL)).why
    many = await kamailio.of_many([PANEL])
    assert (many.state, "kamailio.cfg" in many.why) == (SipState.UNKNOWN, True)


async def test_a_silent_kamailio_is_given_up_in_time(nursery: trio.Nursery) -> None:
    kamailio = await asking(nursery, PaperKamailio(silent=True), 0.1)
    with trio.fail_after(2):
        one = await kamailio.of(PANEL)
        many = await kamailio.of_many([PANEL])
    assert (one.state, many.state) == (SipState.UNKNOWN, SipState.UNKNOWN)
    assert "does not answer" in one.why
    assert "does not answer" in many.why


async def test_without_a_kamailio_nobody_is_asked() -> None:
    kamailio = Registrations("", "node1")
    assert (await kamailio.of(PANEL)).state is SipState.NOT_ASKED
    assert (await kamailio.of_many([PANEL])).why == NOT_SET


async def test_many_are_asked_for_in_pieces_that_it_takes(nursery: trio.Nursery) -> None:
    paper = PaperKamailio({f"5{n:05}": b"" for n in range(0, 2000, 2)})
    kamailio = await asking(nursery, paper)
    panels = [f"5{n:05}" for n in range(2000)]

    said = await kamailio.of_many(panels)

    assert list(said.registered) == panels[::2]
    assert ",".join(paper.bodies).split(",") == panels
    assert len(paper.bodies) > 1
    assert max(map(len, paper.bodies)) <= BODY_MAX


THERE = SipRegistration(
    panel=PANEL,
    node="node2",
    state=SipState.REGISTERED,
    contacts=(Contact(address="10.1.2.3:5060", transport="udp", user_agent="", at=5.0, until=None),),
)
GONE = SipRegistration(panel=PANEL, node="node1", state=SipState.NOT_REGISTERED)
NONE = SipRegistration(panel=PANEL, node="node3", state=SipState.NOT_ASKED, why=NOT_SET)
UNSURE = SipRegistration(panel=PANEL, node="node4", state=SipState.UNKNOWN, why="Kamailio does not answer")


def test_a_panel_is_registered_where_any_kamailio_has_it() -> None:
    assert one_of(PANEL, [GONE, NONE, UNSURE, THERE], ["node5 is away"]) == THERE


def test_a_panel_is_not_registered_only_if_all_were_asked() -> None:
    assert one_of(PANEL, [NONE, GONE], []) == GONE
    for said, away, why in (
        ([GONE, UNSURE], [], "Kamailio does not answer"),
        ([GONE], ["node5 is away"], "node5 is away"),
        ([], ["node5 is away"], "node5 is away"),
        ([NONE], [], NOT_SET),
        ([], [], NOT_SET),
    ):
        known = one_of(PANEL, said, away)
        assert (known.state, known.why) == (SipState.UNKNOWN, why)


def test_many_panels_are_put_together_the_same_way() -> None:
    one = SipRegistered(state=SipState.REGISTERED, registered=("1", "2"))
    two = SipRegistered(state=SipState.REGISTERED, registered=("2", "3"))
    unsure = SipRegistered(state=SipState.UNKNOWN, why="silent", registered=("4",))

    assert together([one, two], []) == SipRegistered(state=SipState.REGISTERED, registered=("1", "2", "3"))
    assert together([one, unsure], []) == SipRegistered(
        state=SipState.UNKNOWN, why="silent", registered=("1", "2", "4")
    )
    assert together([one], ["away"]).state is SipState.UNKNOWN
    assert re.search("kamailio", together([], []).why)
