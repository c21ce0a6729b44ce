"""ARI's requests about channels, with the status codes, reason phrases and bodies of a running 22.10.1."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

from testbed.simulated import legs
from testbed.simulated.causes import REASONS
from testbed.simulated.phones import user_of
from testbed.simulated.replies import NO_CONTENT, NOT_IN_STASIS, Reply, Request, ok, refuse
from testbed.simulated.shapes import ENDPOINTS, FORMATS, Channel, ChannelState, PeerSees, Playback, encode
from testbed.simulated.world import World

KAMAILIO_URI = "PJSIP_HEADER(add,X-Kamailio-URI)"
_CALLER = re.compile(r'^\s*"?([^"<]*?)"?\s*<([^>]*)>\s*$')


def originate(world: World, request: Request, channel_id: str) -> Reply:
    query = request.query
    refusal, channel = _new_leg(world, request, channel_id or query.get("channelId", ""))
    if channel is None:
        return refusal
    originator = world.channels.get(query.get("originator", ""))
    number = _caller(query.get("callerId", ""))
    connected = number if number != ("", "") else originator.caller if originator is not None else number
    channel.changed(caller=number, connected=connected)
    app = world.apps.get(channel.stasis_app)
    if app is not None:
        world.subscribe(app, channel)
    world.timers.soon(legs.dial, world, channel, float(query.get("timeout") or 30))
    return ok(channel.json())


def create(world: World, request: Request) -> Reply:
    refusal, channel = _new_leg(world, request, request.query.get("channelId", ""))
    if channel is None:
        return refusal
    world.timers.soon(_created, world, channel)
    return ok(channel.json())


def _created(world: World, channel: Channel) -> None:
    app = world.apps.get(channel.stasis_app)
    if app is not None:
        world.subscribe(app, channel)
        channel.changed(app_name="Stasis", app_data=channel.stasis_app)
        world.tell(
            channel,
            "ChannelDialplan",
            b',"dialplan_app":"Stasis","dialplan_app_data":' + encode(channel.app_data),
        )
    if not world.enter_stasis(channel, channel.stasis_app, channel.stasis_args):
        world.hang_up(channel, 16)


def _new_leg(world: World, request: Request, channel_id: str) -> tuple[Reply, Channel | None]:
    query = request.query
    endpoint = query.get("endpoint", "")
    if not endpoint:
        return refuse(400, "Endpoint must be specified"), None
    if not query.get("app"):
        return refuse(400, "Application or extension must be specified"), None
    for name in filter(None, query.get("formats", "").split(",")):
        if name not in FORMATS:
            return refuse(400, f"Provided format ({name}) was not found"), None
    if channel_id in world.channels:
        return refuse(409, "Channel with given unique ID already exists"), None
    if _endpoint_of(endpoint) not in ENDPOINTS:
        return Reply(500, "Internal Server Error", b'{"error":"Allocation failed"}'), None
    channel = world.new_channel(channel_id)
    variables = request.body.get("variables") or {}
    channel.variables = {str(name): str(value) for name, value in variables.items()}
    channel.user = user_of(channel.variables.get(KAMAILIO_URI, ""))
    channel.stasis_app = query["app"]
    channel.stasis_args = query["appArgs"].split(",") if query.get("appArgs") else []
    if world.on_leg is not None:
        world.on_leg(channel)
    return NO_CONTENT, channel


def _caller(text: str) -> tuple[str, str]:
    found = _CALLER.match(text)
    return (found.group(1), found.group(2)) if found else ("", text)


def on_channel(world: World, channel: Channel, method: str, rest: tuple[str, ...], request: Request) -> Reply:
    query = request.query
    match method, rest:
        case "GET", ():
            return ok(channel.json())
        case "DELETE", ():
            return _delete(world, channel, query)
        case "GET", ("variable",):
            return _get_variable(channel, query.get("variable", ""))
    action = _ACTIONS.get((method, rest[0] if rest else ""))
    if action is None:
        return refuse(404, "Resource not found") if rest else refuse(405, "Invalid method")
    if channel.stasis is None:
        return refuse(409, NOT_IN_STASIS)
    return action(world, channel, rest[1:], query)


def _delete(world: World, channel: Channel, query: dict[str, str]) -> Reply:
    if "reason_code" in query:
        if not query["reason_code"].isdigit():
            return refuse(400, "Invalid reason for hangup reason code provided", "Invalid Reason Code")
        cause = int(query["reason_code"])
    else:
        found = REASONS.get(query.get("reason", "normal"))
        if found is None:
            return refuse(400, "Invalid reason for hangup reason provided", "Invalid Reason")
        cause = found
    world.timers.soon(world.hang_up, channel, cause, True)
    return NO_CONTENT


def _get_variable(channel: Channel, name: str) -> Reply:
    if not name:
        return refuse(400, "Variable name is required")
    if name not in channel.variables:
        return refuse(404, "Provided variable was not found", "Variable Not Found")
    return ok({"value": channel.variables[name]})


_Action = Callable[[World, Channel, tuple[str, ...], dict[str, str]], Reply]


def _answer(world: World, channel: Channel, rest: tuple[str, ...], query: dict[str, str]) -> Reply:
    if channel.state is not ChannelState.UP:
        channel.changed(state=ChannelState.UP)
        world.tell(channel, "ChannelStateChange")
        _hears(channel, PeerSees.ANSWERED, 200)
    return NO_CONTENT


def _ring(world: World, channel: Channel, rest: tuple[str, ...], query: dict[str, str]) -> Reply:
    if channel.state is not ChannelState.UP:
        _hears(channel, PeerSees.RINGING, 180)
    return NO_CONTENT


def _progress(world: World, channel: Channel, rest: tuple[str, ...], query: dict[str, str]) -> Reply:
    if channel.state is not ChannelState.UP:
        _hears(channel, PeerSees.PROGRESS, 183)
    return NO_CONTENT


def _hears(channel: Channel, what: PeerSees, number: int) -> None:
    if channel.hears is not None:
        channel.hears(what, number)


def _nothing(world: World, channel: Channel, rest: tuple[str, ...], query: dict[str, str]) -> Reply:
    return NO_CONTENT


def _dtmf(world: World, channel: Channel, rest: tuple[str, ...], query: dict[str, str]) -> Reply:
    for digit in query.get("dtmf", ""):
        _hears(channel, PeerSees.DTMF, ord(digit))
    return NO_CONTENT


def _play(world: World, channel: Channel, rest: tuple[str, ...], query: dict[str, str]) -> Reply:
    if not query.get("media"):
        return refuse(400, "Missing parameter media")
    playback_id = (rest[0] if rest else "") or query.get("playbackId") or str(uuid.uuid4())
    if playback_id in world.playbacks:
        return refuse(409, "Playback with given ID already exists")
    playback = world.playbacks[playback_id] = Playback(playback_id, query["media"].split(","), channel)
    _progress(world, channel, (), {})
    world.timers.soon(world.play, playback)
    return Reply(201, "Created", playback.json())


def _continue(world: World, channel: Channel, rest: tuple[str, ...], query: dict[str, str]) -> Reply:
    world.timers.soon(_continued, world, channel)
    return NO_CONTENT


def _continued(world: World, channel: Channel) -> None:
    """The dialplan goes on; after Stasis() it only hangs up."""
    if channel.id in world.channels:
        del world.channels[channel.id]
        world.end(channel, 21 if channel.inbound else 0, None)


def _set_variable(world: World, channel: Channel, rest: tuple[str, ...], query: dict[str, str]) -> Reply:
    if not query.get("variable"):
        return refuse(400, "Variable name is required")
    channel.variables[query["variable"]] = query.get("value", "")
    if query["variable"] == KAMAILIO_URI:
        channel.user = user_of(query.get("value", ""))
    world.tell_var(channel, query["variable"], query.get("value", ""))
    return NO_CONTENT


def _dial(world: World, channel: Channel, rest: tuple[str, ...], query: dict[str, str]) -> Reply:
    if channel.state is not ChannelState.DOWN or channel.dialled:
        return refuse(409, "Channel is not in the 'Down' state.")
    world.timers.soon(legs.dial, world, channel, float(query.get("timeout") or 0))
    return NO_CONTENT


_ACTIONS: dict[tuple[str, str], _Action] = {
    ("POST", "answer"): _answer,
    ("POST", "ring"): _ring,
    ("DELETE", "ring"): _nothing,
    ("POST", "progress"): _progress,
    ("POST", "dtmf"): _dtmf,
    ("POST", "play"): _play,
    ("POST", "continue"): _continue,
    ("POST", "variable"): _set_variable,
    ("POST", "dial"): _dial,
}


def _endpoint_of(dialled: str) -> str:
    """The endpoint in what is dialled: PJSIP/endpoint, PJSIP/endpoint/sip:uri or PJSIP/user@endpoint."""
    technology, _, rest = dialled.partition("/")
    return f"{technology}/{rest.partition('/sip:')[0].rpartition('@')[2]}"
