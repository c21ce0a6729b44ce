"""ARI's requests, whatever they came over: `handle(world, request)` does one and says what Asterisk would
reply.

Status codes, reason phrases and bodies are those of a running 22.10.1, also where they are odd: no two
resources report a missing channel alike.
"""

from __future__ import annotations

import uuid
from typing import Any

from testbed.simulated.channels import create, on_channel, originate
from testbed.simulated.replies import (
    NO_BRIDGE,
    NO_CHANNEL,
    NO_CONTENT,
    NOT_IN_STASIS,
    Reply,
    Request,
    ok,
    refuse,
)
from testbed.simulated.shapes import ENTITY_ID, Bridge
from testbed.simulated.world import World


def handle(world: World, request: Request) -> Reply:
    """Do it. What is to happen only after the reply waits in the world's timers: call `run_soon` when it is
    sent.
    """
    method, query = request.method, request.query
    match request.parts:
        case ("channels",):
            if method == "GET":
                return ok(b"[" + b",".join(c.json() for c in world.channels.values()) + b"]")
            return originate(world, request, "") if method == "POST" else refuse(405, "Invalid method")
        case ("channels", "create") if method == "POST":
            return create(world, request)
        case ("channels", channel_id) if method == "POST":
            return originate(world, request, channel_id)
        case ("channels", channel_id, *rest):
            channel = world.channels.get(channel_id)
            return NO_CHANNEL if channel is None else on_channel(world, channel, method, tuple(rest), request)
        case ("bridges",) if method == "GET":
            return ok([bridge.as_json() for bridge in world.bridges.values()])
        case ("bridges", *rest) if method == "POST" and len(rest) < 2:
            return _create_bridge(world, query, rest[0] if rest else "")
        case ("bridges", bridge_id, *rest):
            bridge = world.bridges.get(bridge_id)
            if bridge is None:
                return refuse(404, "Bridge not found") if method == "GET" else NO_BRIDGE
            return _bridge(world, bridge, method, tuple(rest), query)
        case ("applications", *rest):
            return _applications(world, method, rest, request.body)
        case ("playbacks", playback_id):
            playback = world.playbacks.get(playback_id)
            if playback is None:
                return refuse(404, "Playback not found")
            if method == "GET":
                return ok(playback.json())
            world.timers.soon(world.finish, playback, "done")
            return NO_CONTENT
        case ("asterisk", "ping"):
            return ok({"asterisk_id": ENTITY_ID, "ping": "pong", "timestamp": world.stamp()})
        case ("asterisk", "info"):
            return ok(_info(world))
    return refuse(404, "Resource not found")


def _create_bridge(world: World, query: dict[str, str], bridge_id: str) -> Reply:
    bridge_id = bridge_id or query.get("bridgeId") or str(uuid.uuid4())
    if bridge_id in world.bridges:
        return refuse(409, f"Bridge with id '{bridge_id}' already exists")
    bridge = world.bridges[bridge_id] = Bridge(bridge_id, query.get("name", ""), world.stamp())
    return ok(bridge.json())


def _bridge(world: World, bridge: Bridge, method: str, rest: tuple[str, ...], query: dict[str, str]) -> Reply:
    match method, rest:
        case "GET", ():
            return ok(bridge.json())
        case "DELETE", ():
            world.timers.soon(world.destroy_bridge, bridge)
            return NO_CONTENT
        case "POST", ("addChannel" | "removeChannel",):
            names = [name for name in query.get("channel", "").split(",") if name]
            if not names:
                return refuse(400, "Missing parameter channel")
            found = [channel for name in names if (channel := world.channels.get(name)) is not None]
            if len(found) < len(names):
                return refuse(400, "Channel not found")
            if any(channel.stasis is None for channel in found):
                return refuse(422, NOT_IN_STASIS)
            if rest[0] == "addChannel":
                for channel in found:
                    world.enter_bridge(bridge, channel)
                return NO_CONTENT
            if any(channel.bridge is not bridge for channel in found):
                return refuse(422, "Channel not in this bridge")
            for channel in found:
                world.leave_bridge(channel)
            return NO_CONTENT
    return refuse(405, "Invalid method") if not rest else refuse(404, "Resource not found")


def _applications(world: World, method: str, rest: list[str], body: dict[str, Any]) -> Reply:
    if not rest:
        return ok([app.as_json() for app in world.apps.values()])
    app = world.apps.get(rest[0])
    if app is None:
        return refuse(404, "Application not found")
    if rest[1:] == ["eventFilter"] and method == "PUT":
        allowed, disallowed = body.get("allowed", []), body.get("disallowed", [])
        for rules in (allowed, disallowed):
            if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
                return refuse(400, "Invalid format definition")
        app.set_filter(allowed, disallowed)
    return ok(app.as_json())


def _info(world: World) -> dict[str, Any]:
    return {
        "build": {
            "os": "Linux",
            "kernel": "unknown",
            "machine": "unknown",
            "options": "OPTIONAL_API, TEST_FRAMEWORK",
            "date": "2026-07-20 21:35:32 UTC",
            "user": "nobody",
        },
        "system": {"version": world.version, "entity_id": ENTITY_ID},
        "config": {"name": "", "default_language": "en", "setid": {"user": "", "group": ""}},
        "status": {"startup_time": world.started, "last_reload_time": world.started},
    }
