"""How ARI is reached: passwords, sockets, filters, and what is said of Asterisk and its applications."""

from __future__ import annotations

import json

import httpx
import pytest
import trio

from testbed.simulated import Phone
from tests.conformance.sides import Side, to


async def test_wrong_password_is_refused_with_401(side: Side) -> None:
    reply = await side.ari.http("GET", "channels", auth=("teledom", "wrong"))
    assert reply.status_code == 401
    assert reply.json() == {"message": "Authentication required"}


async def test_websocket_with_wrong_password_is_refused_with_401(side: Side) -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    url = f"{side.ari.url}/events?app=TdCall&api_key=teledom:wrong"
    async with httpx.AsyncClient(timeout=3) as client:
        reply = await client.get(url, headers=headers)
    assert reply.status_code == 401


async def test_info_names_version_and_entity(side: Side) -> None:
    async with side.ari.line() as line:
        over_socket = await line.ask("GET", "asterisk/info")
    over_http = await side.ari.http("GET", "asterisk/info")
    assert over_http.status_code == over_socket.status == 200
    assert over_http.json() == over_socket.body
    assert over_socket.body["system"]["version"].startswith("22.10.1")
    assert set(over_socket.body) == {"build", "system", "config", "status"}


async def test_ping_answers_over_http(side: Side) -> None:
    reply = await side.ari.http("GET", "asterisk/ping")
    assert reply.status_code == 200
    assert reply.json()["ping"] == "pong"


async def test_reply_over_the_socket_has_these_fields(side: Side) -> None:
    async with side.ari.line() as line:
        with_body = await line.ask("GET", "channels/none")
        assert set(with_body.raw) == {
            "type",
            "transaction_id",
            "request_id",
            "status_code",
            "reason_phrase",
            "uri",
            "content_type",
            "message_body",
            "application",
            "timestamp",
            "asterisk_id",
        }
        assert (with_body.status, with_body.reason) == (404, "Not Found")
        assert with_body.raw["uri"] == "channels/none"
        assert with_body.body == {"message": "Channel not found"}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"type": "RESTRequest", "request_id": "x"}, "Empty or missing 'uri' property."),
        (
            {"type": "RESTRequest", "request_id": "x", "method": "FOO", "uri": "channels"},
            "Unknown or missing 'method' property.",
        ),
        ({"type": "Foo", "request_id": "x", "method": "GET", "uri": "channels"}, "Unknown request type."),
    ],
)
async def test_malformed_request_is_refused_with_400(
    side: Side, request_: dict[str, str], message: str
) -> None:
    async with side.ari.line() as line:
        await line.socket.send_message(json.dumps(request_))
        reply = await line.reply("x")
        assert (reply.status, reply.reason, reply.body) == (400, "Bad request", {"message": message})


async def test_text_that_is_no_json_is_refused_without_a_body(side: Side) -> None:
    async with side.ari.line() as line:
        await line.socket.send_message("nonsense")
        reply = await line.reply("")
        assert (reply.status, reply.reason, reply.body) == (400, "Failed to parse request message JSON", None)


@pytest.mark.parametrize(
    ("method", "uri", "status", "message"),
    [
        ("GET", "nonsense", 404, "Resource not found"),
        ("PUT", "channels", 405, "Invalid method"),
        ("GET", "bridges/none", 404, "Bridge not found"),
        ("DELETE", "bridges/none", 404, "Bridge not found"),
        ("GET", "applications/none", 404, "Application not found"),
        ("PUT", "applications/none/eventFilter", 404, "Application not found"),
        ("DELETE", "playbacks/none", 404, "Playback not found"),
        ("POST", "channels/none/answer", 404, "Channel not found"),
    ],
)
async def test_what_does_not_exist_is_refused(
    side: Side, method: str, uri: str, status: int, message: str
) -> None:
    async with side.ari.line() as line:
        reply = await line.ask(method, uri, {} if method == "PUT" else None)
        assert (reply.status, reply.body) == (status, {"message": message})


async def test_second_socket_of_an_application_replaces_the_first(side: Side) -> None:
    async with side.ari.line() as first, side.ari.line() as second:
        replaced = await first.event("ApplicationReplaced")
        assert replaced["application"] == "TdCall"
        side.press()
        await second.event("StasisStart")
        assert not [m for m in first.events if m["type"] == "StasisStart"]
        # It still carries requests.
        assert (await first.ask("GET", "applications/TdCall")).status == 200


async def test_one_socket_serves_several_applications(side: Side) -> None:
    async with side.ari.line("TdCall,TdOther") as line:
        reply = await line.ask("GET", "applications")
        assert {app["name"] for app in reply.body} == {"TdCall", "TdOther"}


async def test_filter_that_disallows_hides_these_events_alone(side: Side) -> None:
    side.phone("a", Phone(ring_s=0.02, answer_s=0.1))
    async with side.ari.line() as line:
        rules = [{"type": "ChannelVarset"}, {"type": "Dial"}]
        reply = await line.ask("PUT", "applications/TdCall/eventFilter", {"disallowed": rules})
        assert reply.status == 200
        assert reply.body["events_disallowed"] == rules
        await line.ask("POST", "channels/f1", to("a"), endpoint="PJSIP/televoip", app="TdCall")
        await line.event("StasisStart", "f1")
        assert line.kinds("f1") == ["ChannelStateChange", "ChannelStateChange", "StasisStart"]
        await line.ask("DELETE", "channels/f1")


async def test_filter_that_allows_too_little_swallows_the_replies(side: Side) -> None:
    async with side.ari.line() as line:
        rules = [{"type": "StasisStart"}]
        await line.send("PUT", "applications/TdCall/eventFilter", {"allowed": rules})
        number = await line.send("GET", "channels")
        side.press()
        await line.event("StasisStart")
        with pytest.raises(trio.TooSlowError):
            await line.reply(number, seconds=0.2)
        reply = await side.ari.http("PUT", "applications/TdCall/eventFilter", {"allowed": []})
        assert reply.status_code == 200
        assert (await line.ask("GET", "channels")).status == 200


async def test_filter_of_a_wrong_shape_is_refused(side: Side) -> None:
    async with side.ari.line() as line:
        reply = await line.ask("PUT", "applications/TdCall/eventFilter", {"disallowed": "x"})
        assert (reply.status, reply.body) == (400, {"message": "Invalid format definition"})


async def test_filter_is_forgotten_when_nothing_is_left_of_the_application(side: Side) -> None:
    async with side.ari.line() as line:
        await line.ask("PUT", "applications/TdCall/eventFilter", {"disallowed": [{"type": "Dial"}]})
    await trio.sleep(0.1)
    async with side.ari.line() as line:
        reply = await line.ask("GET", "applications/TdCall")
        assert reply.body["events_disallowed"] == []


async def test_replies_of_one_socket_come_in_the_order_of_the_requests(side: Side) -> None:
    async with side.ari.line() as line:
        sent = [await line.send("GET", f"channels/none{n}") for n in range(20)]
        await line.reply(sent[-1])
        got = [m["request_id"] for m in line.messages if m["type"] == "RESTResponse"]
        assert got[-20:] == sent


async def test_requests_for_a_channel_may_come_over_another_applications_socket(side: Side) -> None:
    async with side.ari.line() as line, side.ari.line("TdLane1") as lane:
        side.press()
        channel = (await line.event("StasisStart"))["channel"]["id"]
        assert (await lane.ask("POST", f"channels/{channel}/answer")).status == 204
        await line.event("ChannelStateChange", channel)
        assert not lane.events


async def test_the_same_requests_work_over_http(side: Side) -> None:
    side.phone("a", Phone(ring_s=0.02))
    async with side.ari.line() as line:
        body = to("a") | {"endpoint": "PJSIP/televoip", "app": "TdCall"}
        made = await side.ari.http("POST", "channels/h1", body)
        assert made.status_code == 200
        assert made.json()["id"] == "h1"
        await line.event("ChannelStateChange", "h1")
        assert (await side.ari.http("GET", "channels/h1")).json()["state"] == "Ringing"
        gone = await side.ari.http("DELETE", "channels/h1", reason="busy")
        assert gone.status_code == 204
        assert (await line.event("ChannelDestroyed", "h1"))["cause"] == 17
        bridge = await side.ari.http("POST", "bridges/hb", type="mixing")
        assert bridge.status_code == 200
        assert (await side.ari.http("DELETE", "bridges/hb")).status_code == 204
