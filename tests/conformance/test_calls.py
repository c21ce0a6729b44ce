"""Calls that come in: Stasis, ringing, bridges, digits, ends, and what is left to find after a lost
connection.
"""

from __future__ import annotations

import pytest
import trio

from testbed.simulated import PanelState, Phone
from tests.conformance.client import Json, Line
from tests.conformance.sides import Panel, Side, to


async def arrive(side: Side, line: Line, dialled: str = "42") -> tuple[Panel, str, Json]:
    """A panel's call in Stasis: its panel, channel id and StasisStart."""
    panel = side.press("p1", dialled)
    start = await line.event("StasisStart")
    return panel, start["channel"]["id"], start


async def answered(side: Side, line: Line, channel: str, phone: Phone) -> None:
    side.phone("a", phone)
    await line.ask("POST", f"channels/{channel}", to("a"), endpoint="PJSIP/televoip", app="TdCall")
    await line.event("StasisStart", channel)


async def test_panels_call_enters_stasis_with_panel_and_flat(side: Side) -> None:
    async with side.ari.line() as line:
        _, _, start = await arrive(side, line, "12")
        assert start["args"] == ["panel=p1", "flat=12"]
        assert start["channel"]["state"] == "Ring"
        assert start["channel"]["caller"]["number"] == "p1"
        assert start["channel"]["dialplan"]["exten"] == "12"
        assert start["channel"]["dialplan"]["app_data"] == "TdCall,panel=p1,flat=12"
        assert set(start) == {
            "type",
            "timestamp",
            "args",
            "channel",
            "asterisk_id",
            "application",
        }


async def test_ring_progress_and_answer_reach_the_panel(side: Side) -> None:
    async with side.ari.line() as line:
        panel, channel, _ = await arrive(side, line)
        with trio.fail_after(3):
            assert (await line.ask("POST", f"channels/{channel}/ring")).status == 204
            await panel.wait(PanelState.RINGING)
            assert (await line.ask("POST", f"channels/{channel}/progress")).status == 204
            await panel.wait(PanelState.PROGRESS)
            assert (await line.ask("DELETE", f"channels/{channel}/ring")).status == 204
            assert (await line.ask("POST", f"channels/{channel}/answer")).status == 204
            await panel.wait(PanelState.ANSWERED)
            assert (await line.event("ChannelStateChange", channel))["channel"]["state"] == "Up"
            assert (await line.ask("POST", f"channels/{channel}/answer")).status == 204


async def test_panel_that_gives_up_ends_its_call_without_channel_destroyed(side: Side) -> None:
    async with side.ari.line() as line:
        panel, channel, _ = await arrive(side, line)
        panel.hangup()
        await line.event("StasisEnd", channel)
        asked = await line.event("ChannelHangupRequest", channel)
        assert (asked["cause"], asked["tech_cause"]) == (127, 487)
        await trio.sleep(0.05)
        assert line.kinds(channel) == ["StasisStart", "ChannelHangupRequest", "StasisEnd"]
        with trio.fail_after(3):
            await panel.wait(PanelState.ENDED)
        assert panel.code == 487


async def test_panel_that_hangs_up_before_it_was_bridged_ends_without_a_cause(side: Side) -> None:
    async with side.ari.line() as line:
        panel, channel, _ = await arrive(side, line)
        with trio.fail_after(3):
            await line.ask("POST", f"channels/{channel}/answer")
            await panel.wait(PanelState.ANSWERED)
        panel.hangup()
        await line.event("StasisEnd", channel)
        asked = await line.event("ChannelHangupRequest", channel)
        assert "cause" not in asked
        assert "soft" not in asked


async def test_panels_call_that_is_deleted_ends_with_the_reasons_sip_code(side: Side) -> None:
    for reason, code in (("busy", 486), ("no_answer", 480), ("unallocated", 404), ("rejected", 403)):
        async with side.ari.line() as line:
            panel, channel, _ = await arrive(side, line)
            assert (await line.ask("DELETE", f"channels/{channel}", reason=reason)).status == 204
            await line.event("StasisEnd", channel)
            with trio.fail_after(3):
                await panel.wait(PanelState.ENDED)
            assert panel.code == code
            await line.gone("GET", f"channels/{channel}", seconds=2)


@pytest.mark.parametrize(
    ("cause", "code"), [(3, 404), (20, 480), (22, 410), (27, 502), (29, 501), (34, 503), (38, 500), (42, 503)]
)
async def test_panels_call_that_is_deleted_by_a_cause_ends_with_its_sip_code(
    side: Side, cause: int, code: int
) -> None:
    async with side.ari.line() as line:
        panel, channel, _ = await arrive(side, line)
        await line.ask("DELETE", f"channels/{channel}", reason_code=str(cause))
        with trio.fail_after(3):
            await panel.wait(PanelState.ENDED)
        assert panel.code == code


async def test_panels_call_that_is_deleted_normally_is_declined_with_603(side: Side) -> None:
    async with side.ari.line() as line:
        panel, channel, _ = await arrive(side, line)
        await line.ask("DELETE", f"channels/{channel}")
        with trio.fail_after(3):
            await panel.wait(PanelState.ENDED)
        assert panel.code == 603


async def test_answered_panels_call_that_is_deleted_gets_a_bye_with_the_cause(side: Side) -> None:
    async with side.ari.line() as line:
        panel, channel, _ = await arrive(side, line)
        await line.ask("POST", f"channels/{channel}/answer")
        with trio.fail_after(3):
            await panel.wait(PanelState.ANSWERED)
            await line.ask("DELETE", f"channels/{channel}")
            await panel.wait(PanelState.ENDED)
        assert panel.cause == 16


async def test_call_without_a_listener_is_refused(side: Side) -> None:
    panel = side.press()
    with trio.fail_after(3):
        await panel.wait(PanelState.ENDED)
    assert panel.code is not None
    assert panel.code >= 500


async def test_two_channels_are_bridged_and_the_phone_hangs_up(side: Side) -> None:
    async with side.ari.line() as line:
        _, channel, _ = await arrive(side, line)
        await answered(side, line, "c1", Phone(ring_s=0.02, answer_s=0.05, hangup_s=0.5))
        await line.ask("POST", f"channels/{channel}/answer")
        made = await line.ask("POST", "bridges/cb", type="mixing", name="x")
        assert made.status == 200
        assert set(made.body) == {
            "id",
            "technology",
            "bridge_type",
            "bridge_class",
            "creator",
            "name",
            "channels",
            "creationtime",
            "video_mode",
        }
        assert (await line.ask("POST", "bridges/cb/addChannel", channel=f"{channel},c1")).status == 204
        await line.event("ChannelEnteredBridge", "c1")
        await line.event("ChannelEnteredBridge", channel)
        listed = await line.ask("GET", "bridges/cb")
        assert sorted(listed.body["channels"]) == sorted([channel, "c1"])
        assert set((await line.ask("GET", "applications/TdCall")).body["bridge_ids"]) == {"cb"}

        left = await line.event("ChannelLeftBridge", "c1")
        assert left["bridge"]["channels"] == [channel]
        await line.event("ChannelDestroyed", "c1")
        assert line.kinds(
            "c1", without=("Dial", "ChannelVarset", "ChannelConnectedLine", "ChannelStateChange")
        ) == [
            "StasisStart",
            "ChannelEnteredBridge",
            "ChannelHangupRequest",
            "ChannelLeftBridge",
            "StasisEnd",
            "ChannelDestroyed",
        ]
        # The other one stays, in its bridge.
        assert (await line.ask("GET", f"channels/{channel}")).body["state"] == "Up"
        assert (await line.ask("DELETE", "bridges/cb")).status == 204
        await line.event("ChannelLeftBridge", channel)
        await line.gone("DELETE", "bridges/cb")


async def test_bridge_refuses_what_is_missing(side: Side) -> None:
    async with side.ari.line() as line:
        await arrive(side, line)
        assert (await line.ask("POST", "bridges/eb", type="mixing")).status == 200
        again = await line.ask("POST", "bridges/eb", type="mixing")
        assert (again.status, again.body) == (409, {"message": "Bridge with id 'eb' already exists"})
        for action in ("addChannel", "removeChannel"):
            missing = await line.ask("POST", f"bridges/eb/{action}", channel="none")
            assert (missing.status, missing.body) == (400, {"message": "Channel not found"})
        unsaid = await line.ask("POST", "bridges/eb/addChannel")
        assert (unsaid.status, unsaid.body) == (400, {"message": "Missing parameter channel"})
        nowhere = await line.ask("POST", "bridges/none/addChannel", channel="none")
        assert (nowhere.status, nowhere.body) == (404, {"message": "Bridge not found"})


async def test_channel_that_is_in_no_bridge_cannot_be_removed_from_one(side: Side) -> None:
    async with side.ari.line() as line:
        _, channel, _ = await arrive(side, line)
        await line.ask("POST", "bridges/rb", type="mixing")
        outside = await line.ask("POST", "bridges/rb/removeChannel", channel=channel)
        assert (outside.status, outside.body) == (422, {"message": "Channel not in this bridge"})
        await line.ask("POST", "bridges/rb/addChannel", channel=channel)
        await line.event("ChannelEnteredBridge", channel)
        assert (await line.ask("POST", "bridges/rb/removeChannel", channel=channel)).status == 204
        await line.event("ChannelLeftBridge", channel)
        assert (await line.ask("GET", "bridges/rb")).body["channels"] == []


async def test_digit_of_the_phone_is_reported_and_passes_the_bridge(side: Side) -> None:
    async with side.ari.line() as line:
        panel, channel, _ = await arrive(side, line)
        await answered(side, line, "d1", Phone(ring_s=0.02, answer_s=0.05, dtmf="5", dtmf_s=0.5))
        await line.ask("POST", f"channels/{channel}/answer")
        await line.ask("POST", "bridges/db", type="mixing")
        await line.ask("POST", "bridges/db/addChannel", channel=f"{channel},d1")
        digit = await line.event("ChannelDtmfReceived", "d1")
        assert digit["digit"] == "5"
        assert isinstance(digit["duration_ms"], int)
        with trio.fail_after(3):
            await panel.wait_digits("5")


async def test_digit_of_the_panel_is_reported(side: Side) -> None:
    async with side.ari.line() as line:
        panel, channel, _ = await arrive(side, line)
        await line.ask("POST", f"channels/{channel}/answer")
        with trio.fail_after(3):
            await panel.wait(PanelState.ANSWERED)
        panel.dtmf("7")
        assert (await line.event("ChannelDtmfReceived", channel))["digit"] == "7"


async def test_digit_can_be_sent_to_the_panel(side: Side) -> None:
    async with side.ari.line() as line:
        panel, channel, _ = await arrive(side, line)
        await line.ask("POST", f"channels/{channel}/answer")
        with trio.fail_after(3):
            await panel.wait(PanelState.ANSWERED)
            assert (await line.ask("POST", f"channels/{channel}/dtmf", dtmf="1")).status == 204
            await panel.wait_digits("1")


async def test_playback_starts_and_finishes(side: Side) -> None:
    async with side.ari.line() as line:
        panel, channel, _ = await arrive(side, line)
        await line.ask("POST", f"channels/{channel}/answer")
        media = "sound:beep"
        reply = await line.ask("POST", f"channels/{channel}/play/pb1", media=media)
        assert (reply.status, reply.reason) == (201, "Created")
        assert {k: reply.body[k] for k in ("id", "media_uri", "target_uri")} == {
            "id": "pb1",
            "media_uri": media,
            "target_uri": f"channel:{channel}",
        }
        started = await line.event("PlaybackStarted")
        assert started["playback"]["state"] == "playing"
        finished = await line.event("PlaybackFinished", seconds=5)
        assert finished["playback"]["state"] == "done"
        panel.hangup()


async def test_playback_can_be_stopped(side: Side) -> None:
    async with side.ari.line() as line:
        _, channel, _ = await arrive(side, line)
        await line.ask("POST", f"channels/{channel}/answer")
        await line.ask("POST", f"channels/{channel}/play/pb2", media="tone:busy")
        await line.event("PlaybackStarted")
        assert (await line.ask("DELETE", "playbacks/pb2")).status == 204
        await line.event("PlaybackFinished")
        await line.gone("DELETE", "playbacks/pb2")


async def test_variable_is_set_read_and_missed(side: Side) -> None:
    async with side.ari.line() as line:
        _, channel, _ = await arrive(side, line)
        missed = await line.ask("GET", f"channels/{channel}/variable", variable="FOO")
        assert (missed.status, missed.body) == (404, {"message": "Provided variable was not found"})
        unnamed = await line.ask("GET", f"channels/{channel}/variable")
        assert (unnamed.status, unnamed.body) == (400, {"message": "Variable name is required"})
        assert (
            await line.ask("POST", f"channels/{channel}/variable", variable="FOO", value="x")
        ).status == 204
        assert (await line.ask("GET", f"channels/{channel}/variable", variable="FOO")).body == {"value": "x"}


async def test_channels_and_bridges_outlive_a_lost_socket_and_are_found_again(side: Side) -> None:
    async with side.ari.line() as line:
        _, channel, _ = await arrive(side, line)
        await answered(side, line, "v1", Phone(ring_s=0.02, answer_s=0.05))
        await line.ask("POST", f"channels/{channel}/answer")
        await line.ask("POST", "bridges/vb", type="mixing")
        await line.ask("POST", "bridges/vb/addChannel", channel=f"{channel},v1")
        await line.event("ChannelEnteredBridge", "v1")
    await trio.sleep(0.1)
    async with side.ari.line() as line:
        assert {c["id"] for c in (await line.ask("GET", "channels")).body} == {channel, "v1"}
        [bridge] = (await line.ask("GET", "bridges")).body
        assert (bridge["id"], sorted(bridge["channels"])) == ("vb", sorted([channel, "v1"]))
        app = (await line.ask("GET", "applications/TdCall")).body
        assert set(app["channel_ids"]) == {channel, "v1"}
        assert not [m for m in line.events if m["type"] == "StasisStart"]
        # They can be driven, and their ends are heard.
        await line.ask("DELETE", "channels/v1")
        assert (await line.event("ChannelDestroyed", "v1"))["cause"] == 16
