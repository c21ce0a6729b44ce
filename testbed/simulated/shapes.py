"""What Asterisk keeps of channels, bridges and applications, and their JSON as 22.10.1 writes it, field by
field.

A channel's JSON is encoded once per change and pasted into every event that carries it: a call of four
accounts makes 80 events, and this process has to make 16,000 of them a second.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import msgspec
from attrs import Factory, define, field

encode = msgspec.json.encode

ENTITY_ID = "02:00:00:00:00:01"
ENDPOINTS = frozenset({"PJSIP/televoip"})
FORMATS = frozenset({"alaw", "ulaw", "gsm", "g722", "opus", "slin", "slin16", "h264", "vp8", "h263p"})


class ChannelState(Enum):
    """The states of a channel that are seen over ARI here."""

    DOWN = "Down"
    RING = "Ring"
    RINGING = "Ringing"
    UP = "Up"


@define(eq=False)
class App:
    """One Stasis application: who listens, what it is subscribed to (with counts), and its event filter."""

    name: str
    sink: Callable[[bytes], None] | None = None
    channels: dict[str, int] = Factory(dict)
    bridges: dict[str, int] = Factory(dict)
    allowed: list[dict[str, Any]] = Factory(list)
    disallowed: list[dict[str, Any]] = Factory(list)
    tail: bytes = b""
    refused: frozenset[str] = frozenset()
    only: frozenset[str] | None = None

    def __attrs_post_init__(self) -> None:
        self.tail = b',"asterisk_id":"' + ENTITY_ID.encode() + b'","application":' + encode(self.name) + b"}"

    def set_filter(self, allowed: list[dict[str, Any]], disallowed: list[dict[str, Any]]) -> None:
        self.allowed, self.disallowed = allowed, disallowed
        self.only = frozenset(str(rule.get("type")) for rule in allowed) if allowed else None
        self.refused = frozenset(str(rule.get("type")) for rule in disallowed)

    def wants(self, kind: str) -> bool:
        """Whether an event of this type is sent to it; a filter counts for RESTResponse as well."""
        if self.sink is None or kind in self.refused:
            return False
        return self.only is None or kind in self.only

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "channel_ids": list(self.channels),
            "bridge_ids": list(self.bridges),
            "endpoint_ids": [],
            "device_names": [],
            "events_allowed": self.allowed,
            "events_disallowed": self.disallowed,
        }


@define(eq=False)
class Channel:
    """One channel. Change its fields through `changed()`, or the events will carry the old ones."""

    id: str
    name: str
    state: ChannelState
    protocol_id: str
    created: str
    context: str = "from-kamailio"
    exten: str = "s"
    priority: int = 1
    app_name: str = "AppDial2"
    app_data: str = "(Outgoing Line)"
    caller: tuple[str, str] = ("", "")
    connected: tuple[str, str] = ("", "")
    variables: dict[str, str] = Factory(dict)
    inbound: bool = False
    stasis: App | None = None  # the application that it is in
    stasis_app: str = ""  # and the one that it is to enter when it is answered
    stasis_args: list[str] = Factory(list)
    watchers: list[App] = Factory(list)  # who is sent its events
    bridge: Bridge | None = None
    user: str = ""  # whom it calls: the user of X-Kamailio-URI
    dialled: bool = False
    cause: int = 0  # Q.850, as far as it is known before the end
    hears: Callable[[PeerSees, int], None] | None = None
    _json: bytes | None = field(default=None, init=False)

    def changed(self, **fields: Any) -> None:
        for key, value in fields.items():
            setattr(self, key, value)
        self._json = None

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "state": self.state.value,
            "protocol_id": self.protocol_id,
            "caller": {"name": self.caller[0], "number": self.caller[1]},
            "connected": {"name": self.connected[0], "number": self.connected[1]},
            "accountcode": "",
            "dialplan": {
                "context": self.context,
                "exten": self.exten,
                "priority": self.priority,
                "app_name": self.app_name,
                "app_data": self.app_data,
            },
            "creationtime": self.created,
            "language": "ru",
        }

    def json(self) -> bytes:
        if self._json is None:
            self._json = encode(self.as_json())
        return self._json


class PeerSees(Enum):
    """What the far end of an inbound channel is sent; the number that goes with it is a SIP code."""

    RINGING = "ringing"
    PROGRESS = "progress"
    ANSWERED = "answered"
    DTMF = "dtmf"  # the number is the digit's ASCII code
    ENDED = "ended"


@define(eq=False)
class Bridge:
    """One mixing bridge, its channels in the order of coming, and who is sent its events."""

    id: str
    name: str
    created: str
    technology: str = "simple_bridge"
    channels: list[Channel] = Factory(list)
    watchers: list[App] = Factory(list)

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "technology": self.technology,
            "bridge_type": "mixing",
            "bridge_class": "stasis",
            "creator": "Stasis",
            "name": self.name,
            "channels": [channel.id for channel in self.channels],
            "creationtime": self.created,
            "video_mode": "talker",
        }

    def json(self) -> bytes:
        return encode(self.as_json())


@define(eq=False)
class Playback:
    """Media being played to one channel, one item after the other."""

    id: str
    media: list[str]
    channel: Channel
    state: str = "queued"
    stopped: bool = False

    def as_json(self) -> dict[str, Any]:
        shown: dict[str, Any] = {"id": self.id, "media_uri": self.media[0]}
        if len(self.media) > 1:
            shown["next_media_uri"] = self.media[1]
        return shown | {"target_uri": f"channel:{self.channel.id}", "language": "ru", "state": self.state}

    def json(self) -> bytes:
        return encode(self.as_json())
