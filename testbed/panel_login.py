"""Logins to panels: Basic, and Digest with MD5 and qop=auth (RFC 2617), as Hikvision's panels want it.

Each challenge of Digest is good for one request. One that comes again is refused without a new challenge, as some
firmware does.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets

from testbed.panel_state import PanelState, Reply

REALM = "DS-0CED27ED"


def basic(panel: PanelState, method: str, target: str, login: str) -> Reply | None:
    """None for a login that is right; else what to answer."""
    right = base64.b64encode(f"{panel.user}:{panel.password}".encode()).decode()
    if login == f"Basic {right}":
        return None
    return Reply(401, b"Unauthorized", (("www-authenticate", 'Basic realm="panel"'),))


def digest(panel: PanelState, method: str, target: str, login: str) -> Reply | None:
    """The same for Digest; `target` is the request's own, query and all."""
    fields = dict(re.findall(r'(\w+)="?([^",]*)"?', login.removeprefix("Digest ")))
    if not fields:
        nonce = secrets.token_hex(16)
        panel.nonces.add(nonce)
        good = f'Digest qop="auth", realm="{REALM}", nonce="{nonce}", stale="false", opaque="", domain="::"'
        challenge = panel.challenge or good
        return Reply(401, b"", (("www-authenticate", challenge),))
    nonce = fields.get("nonce", "")
    if nonce not in panel.nonces or "opaque" in fields:
        return Reply(401)
    panel.nonces.discard(nonce)
    who = _md5(f"{panel.user}:{REALM}:{panel.password}")
    what = _md5(f"{method}:{target}")
    right = _md5(f"{who}:{nonce}:{fields.get('nc')}:{fields.get('cnonce')}:auth:{what}")
    if fields.get("response") == right and fields.get("uri") == target:
        return None
    return Reply(401)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()
