"""Relays' own HTTP servers on 127.0.0.1, for tests: Shelly's two dialects, each with its login.

A relay is played as a panel is (panel_state.PanelState, with a model as its vendor): `doors` are the channels that were
opened, counted from 1, and all faults are there.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from contextlib import AbstractAsyncContextManager

import msgspec

from testbed.panel_dialects import Dialect
from testbed.panel_login import basic
from testbed.panel_state import PanelState, Reply, Request
from testbed.panels import open_panel_server

CHANNELS = 2
REALM = "shellypro2-0cb815fc11b4"


def open_relay_server(relay: PanelState) -> AbstractAsyncContextManager[str]:
    """Serve a relay until the block is left; its URL."""
    return open_panel_server(relay, DIALECTS)


def shelly_1(relay: PanelState, request: Request) -> Reply:
    match = re.fullmatch(r"/relay/(\d+)", request.path)
    if match is None or int(match[1]) >= CHANNELS:
        return Reply(404, b"Not Found")
    timer = request.query.get("timer", "")
    if request.query.get("turn") != "on" or not timer.isdecimal():
        return Reply(400, b"Bad turn!")
    relay.doors.append(int(match[1]) + 1)
    return _json(200, {"ison": True, "has_timer": True, "timer_duration": int(timer), "source": "http"})


def shelly_2(relay: PanelState, request: Request) -> Reply:
    if request.path != "/rpc/Switch.Set":
        return _json(404, {"code": 404, "message": f"No handler for {request.path}"})
    id = int(request.query["id"])
    if id >= CHANNELS:
        return _json(500, {"code": -105, "message": f"Argument 'id', value {id} not found!"})
    if request.query["on"] != "true" or float(request.query["toggle_after"]) <= 0:
        return _json(500, {"code": -103, "message": "Invalid argument"})
    was_on = id + 1 in relay.doors[-1:]
    relay.doors.append(id + 1)
    return _json(200, {"was_on": was_on})


def digest_sha256(relay: PanelState, method: str, target: str, login: str) -> Reply | None:
    """Digest with SHA-256 and qop=auth (RFC 7616): None for a login that is right; else what to answer."""
    fields = dict(re.findall(r'(\w+)="?([^",]*)"?', login.removeprefix("Digest ")))
    nonce = fields.get("nonce", "")
    if nonce in relay.nonces:
        relay.nonces.discard(nonce)
        who, what = _sha256(f"{relay.user}:{REALM}:{relay.password}"), _sha256(f"{method}:{target}")
        right = _sha256(f"{who}:{nonce}:{fields.get('nc')}:{fields.get('cnonce')}:auth:{what}")
        if fields.get("response") == right and fields.get("uri") == target:
            return None
    nonce = secrets.token_hex(8)
    relay.nonces.add(nonce)
    challenge = f'Digest qop="auth", realm="{REALM}", nonce="{nonce}", algorithm=SHA-256'
    return Reply(401, b"", (("www-authenticate", challenge),))


DIALECTS = {"shelly-1": Dialect(basic, shelly_1), "shelly-2": Dialect(digest_sha256, shelly_2)}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _json(status: int, values: dict[str, object]) -> Reply:
    return Reply(status, msgspec.json.encode(values), (("content-type", "application/json"),))
