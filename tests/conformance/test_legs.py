"""Calls that Asterisk makes: originates and their ends, event by event."""

from __future__ import annotations

import pytest
import trio

from testbed.simulated import Phone
from tests.conformance.client import Line, Reply
from tests.conformance.sides import Side, to

ENDPOINT = "PJSIP/televoip"


async def originate(line: Line, channel: str, user: str, **query: str) -> Reply:
    return await line.ask("POST", f"channels/{channel}", to(user), endpoint=ENDPOINT, app="TdCall", **query)


@pytest.mark.parametrize(
    ("query", "status", "body"),
    [
        ({"endpoint": "PJSIP/nosuch", "app": "TdCall"}, 500, {"error": "Allocation failed"}),
        ({"endpoint": "NOTECH/x", "app": "TdCall"}, 500, {"error": "Allocation failed"}),
        ({"endpoint": ENDPOINT}, 400, {"message": "Application or extension must be specified"}),
        ({"app": "TdCall"}, 400, {"message": "Endpoint must be specified"}),
        (
            {"endpoint": ENDPOINT, "app": "TdCall", "formats": "nonsense"},
            400,
            {"message": "Provided format (nonsense) was not found"},
        ),
    ],
)
async def test_originate_that_cannot_be_is_refused_and_no_event_comes(
    side: Side, query: dict[str, str], status: int, body: dict[str, str]
) -> None:
    async with side.ari.line() as line:
        reply = await line.ask("POST", "channels/no", None, **query)
        assert (reply.status, reply.body) == (status, body)
        await trio.sleep(0.05)
        assert not line.events


async def test_originate_replies_with_the_channel(side: Side) -> None:
    side.phone("a", Phone(ring_s=0.02))
    async with side.ari.line() as line:
        reply = await originate(line, "o1", "a", appArgs="leg,a", callerId="Panel <p1>")
        assert reply.status == 200
        channel = reply.body
        assert channel["id"] == "o1"
        assert channel["name"].startswith("PJSIP/televoip-")
        assert channel["state"] == "Down"
        assert channel["caller"] == {"name": "Panel", "number": "p1"}
        assert channel["dialplan"] == {
            "context": "from-kamailio",
            "exten": "s",
            "priority": 1,
            "app_name": "AppDial2",
            "app_data": "(Outgoing Line)",
        }
        assert set(channel) == {
            "id",
            "name",
            "state",
            "protocol_id",
            "caller",
            "connected",
            "accountcode",
            "dialplan",
            "creationtime",
            "language",
        }


async def test_second_channel_of_an_id_is_refused_with_409(side: Side) -> None:
    side.phone("a", Phone(ring_s=0.02))
    async with side.ari.line() as line:
        await originate(line, "o2", "a")
        reply = await originate(line, "o2", "a")
        assert (reply.status, reply.body) == (
            409,
            {"message": "Channel with given unique ID already exists"},
        )


async def test_answered_leg_rings_then_is_up_then_enters_stasis(side: Side) -> None:
    side.phone("a", Phone(ring_s=0.05, answer_s=0.15))
    async with side.ari.line() as line:
        await originate(line, "o3", "a", appArgs="leg,a")
        start = await line.event("StasisStart", "o3")
        assert start["args"] == ["leg", "a"]
        assert start["channel"]["state"] == "Up"
        assert start["channel"]["dialplan"]["app_data"] == "TdCall,leg,a"
        assert line.kinds("o3", without=("Dial",)) == [
            "ChannelStateChange",
            "ChannelStateChange",
            "ChannelVarset",
            "StasisStart",
        ]
        statuses = [m["dialstatus"] for m in line.events if m["type"] == "Dial"]
        assert statuses == ["", "RINGING", "ANSWER"]


async def test_phone_that_hangs_up_before_it_was_bridged_ends_without_a_cause(side: Side) -> None:
    side.phone("a", Phone(ring_s=0.02, answer_s=0.05, hangup_s=0.1))
    async with side.ari.line() as line:
        await originate(line, "o4", "a")
        end = await line.event("ChannelDestroyed", "o4")
        assert (end["cause"], end["cause_txt"], "tech_cause" in end) == (0, "Unknown", False)
        assert line.kinds("o4", without=("Dial", "ChannelVarset", "ChannelStateChange")) == [
            "StasisStart",
            "ChannelHangupRequest",
            "StasisEnd",
            "ChannelDestroyed",
        ]


@pytest.mark.parametrize(
    ("sip", "cause", "text", "dial"),
    [
        (403, 21, "Call Rejected", "NOANSWER"),
        (404, 1, "Unallocated (unassigned) number", "NOANSWER"),
        (408, 18, "No user responding", "NOANSWER"),
        (480, 19, "User alerting, no answer", "NOANSWER"),
        (486, 17, "User busy", "BUSY"),
        (500, 38, "Network out of order", "NOANSWER"),
        (503, 34, "Circuit/channel congestion", "CONGESTION"),
        (600, 17, "User busy", "BUSY"),
        (603, 21, "Call Rejected", "NOANSWER"),
    ],
)
async def test_refused_leg_ends_with_the_cause_of_its_sip_code(
    side: Side, sip: int, cause: int, text: str, dial: str
) -> None:
    side.phone("a", Phone(ring_s=None, refuse=sip, refuse_s=0.03))
    async with side.ari.line() as line:
        await originate(line, "o5", "a")
        end = await line.event("ChannelDestroyed", "o5")
        assert (end["cause"], end["cause_txt"], end["tech_cause"]) == (cause, text, sip)
        assert line.kinds("o5") == ["Dial", "ChannelHangupRequest", "Dial", "ChannelDestroyed"]
        asked = await line.event("ChannelHangupRequest", "o5")
        assert (asked["cause"], asked["tech_cause"]) == (cause, sip)
        assert [m["dialstatus"] for m in line.events if m["type"] == "Dial"] == ["", dial]


@pytest.mark.parametrize(
    ("reason", "cause", "tech"),
    [
        ("normal", 16, None),
        ("busy", 17, 486),
        ("congestion", 34, 503),
        ("no_answer", 19, 480),
        ("timeout", 18, 408),
        ("rejected", 21, 403),
        ("unallocated", 1, 404),
        ("normal_unspecified", 31, 480),
        ("number_incomplete", 28, 484),
        ("codec_mismatch", 58, 488),
        ("interworking", 127, 500),
        ("failure", 38, 500),
        ("answered_elsewhere", 26, None),
    ],
)
async def test_ringing_leg_that_is_deleted_ends_with_the_cause_of_the_reason(
    side: Side, reason: str, cause: int, tech: int | None
) -> None:
    side.phone("a", Phone(ring_s=0.02))
    async with side.ari.line() as line:
        await originate(line, "o6", "a")
        await line.event("ChannelStateChange", "o6")
        assert (await line.ask("DELETE", "channels/o6", reason=reason)).status == 204
        end = await line.event("ChannelDestroyed", "o6")
        assert (end["cause"], end.get("tech_cause")) == (cause, tech)
        asked = await line.event("ChannelHangupRequest", "o6")
        assert (asked["cause"], asked["soft"]) == (32, True)
        await line.gone("DELETE", "channels/o6")


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (3, "No route to destination"),
        (20, "Subscriber absent"),
        (22, "Number changed"),
        (27, "Destination out of order"),
        (29, "Facility rejected"),
        (42, "Switching equipment congestion"),
    ],
)
async def test_cause_of_an_end_is_put_into_words(side: Side, cause: int, text: str) -> None:
    side.phone("a", Phone(ring_s=0.02))
    async with side.ari.line() as line:
        await originate(line, "o12", "a")
        await line.event("ChannelStateChange", "o12")
        await line.ask("DELETE", "channels/o12", reason_code=str(cause))
        assert (await line.event("ChannelDestroyed", "o12"))["cause_txt"] == text


@pytest.mark.parametrize("place", [pytest.param("real", marks=pytest.mark.real)], indirect=True)
async def test_answered_elsewhere_is_said_to_the_phone(side: Side) -> None:
    """The simulated phones hear nothing of it."""
    assert side.peer is not None
    side.phone("a", Phone(ring_s=0.02))
    async with side.ari.line() as line:
        await originate(line, "o7", "a")
        await line.event("ChannelStateChange", "o7")
        await line.ask("DELETE", "channels/o7", reason="answered_elsewhere")
        await line.event("ChannelDestroyed", "o7")
        assert "SIP;cause=200" in side.peer.cancels[0][1]


@pytest.mark.parametrize(
    ("query", "reason", "message"),
    [
        ({"reason": "foo"}, "Invalid Reason", "Invalid reason for hangup reason provided"),
        ({"reason_code": "foo"}, "Invalid Reason Code", "Invalid reason for hangup reason code provided"),
    ],
)
async def test_unknown_reason_of_an_end_is_refused(
    side: Side, query: dict[str, str], reason: str, message: str
) -> None:
    side.phone("a", Phone(ring_s=0.02))
    async with side.ari.line() as line:
        await originate(line, "o8", "a")
        reply = await line.ask("DELETE", "channels/o8", None, **query)
        assert (reply.status, reply.reason, reply.body) == (400, reason, {"message": message})
        assert (await line.ask("DELETE", "channels/o8", reason_code="21")).status == 204
        assert (await line.event("ChannelDestroyed", "o8"))["cause"] == 21


async def test_originates_own_timeout_ends_it_as_not_answered(side: Side) -> None:
    side.phone("a", Phone(ring_s=0.02))
    async with side.ari.line() as line:
        await originate(line, "o9", "a", timeout="1")
        end = await line.event("ChannelDestroyed", "o9")
        assert (end["cause"], end["tech_cause"]) == (19, 480)
        assert line.kinds("o9", without=("Dial",)) == ["ChannelStateChange", "ChannelDestroyed"]


async def test_sleeping_phone_makes_progress_before_it_rings(side: Side) -> None:
    side.phone("a", Phone(wakes_s=0.1, ring_s=0.05, answer_s=0.1))
    async with side.ari.line() as line:
        await originate(line, "o10", "a")
        await line.event("StasisStart", "o10")
        statuses = [m["dialstatus"] for m in line.events if m["type"] == "Dial"]
        assert statuses == ["", "PROGRESS", "RINGING", "ANSWER"]


async def test_leg_that_rings_can_neither_be_answered_nor_played_to_nor_bridged(side: Side) -> None:
    side.phone("a", Phone(ring_s=0.02))
    not_in = {"message": "Channel not in Stasis application"}
    async with side.ari.line() as line:
        await originate(line, "o11", "a")
        for action in ("answer", "ring", "play?media=tone:busy"):
            reply = await line.ask("POST", f"channels/o11/{action}")
            assert (reply.status, reply.body) == (409, not_in)
        await line.ask("POST", "bridges/ob", type="mixing")
        for action in ("addChannel", "removeChannel"):
            reply = await line.ask("POST", f"bridges/ob/{action}", channel="o11")
            assert (reply.status, reply.body) == (422, not_in)


async def test_created_channel_is_in_stasis_at_once_and_rings_when_it_is_dialled(side: Side) -> None:
    side.phone("a", Phone(ring_s=0.03, answer_s=0.08))
    async with side.ari.line() as line:
        reply = await line.ask(
            "POST", "channels/create", to("a"), endpoint=ENDPOINT, app="TdCall", channelId="k1"
        )
        assert (reply.status, reply.body["id"]) == (200, "k1")
        await line.event("StasisStart", "k1")
        assert line.kinds("k1") == ["ChannelDialplan", "ChannelVarset", "StasisStart"]
        assert (await line.ask("POST", "channels/k1/dial", timeout="5")).status == 204
        await line.wait(lambda m: m["type"] == "ChannelStateChange" and m["channel"]["state"] == "Up")
        await line.ask("DELETE", "channels/k1")
        end = await line.event("ChannelDestroyed", "k1")
        assert end["cause"] == 16
