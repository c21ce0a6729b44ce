"""ARI's events, as the few fields of each that we use, decoded straight from JSON.

The type is read first, and an event that nobody needs is dropped there. Fields that we do not know are passed over; a
message that is not as it should be is a `Malformed`, which is logged and counted, and stops nothing.
Source: the API description that a running Asterisk serves (`/ari/api-docs/events.json`), 22.10.1.
"""

from __future__ import annotations

import msgspec
from attrs import frozen

DIAL = "Dial"  # wanted by applications that dial channels which they have created
UNWANTED = (
    "ChannelVarset",
    "ChannelDialplan",
    "ChannelHangupRequest",
    "ChannelLeftBridge",
    "ChannelCallerId",
    "ChannelConnectedLine",
    "ChannelCreated",
    "ChannelHold",
    "ChannelUnhold",
    "BridgeCreated",
    "BridgeDestroyed",
    "BridgeMerged",
    "BridgeVideoSourceChanged",
    DIAL,
    "DeviceStateChanged",
    "PeerStatusChange",
    "ContactStatusChange",
    "PlaybackStarted",
    "RTCPReceived",
    "RTCPSent",
)
"""Left out by the filter that is put after every connect: two thirds of what a call would send otherwise."""


@frozen
class Dialplan:
    app_name: str = ""
    app_data: str = ""


@frozen
class Channel:
    """A channel as Asterisk shows it. `state` is one of Down, Ring, Ringing, Up, and a few that we do not need."""

    id: str
    name: str = ""
    state: str = ""
    dialplan: Dialplan = Dialplan()


@frozen
class Bridge:
    id: str
    channels: tuple[str, ...] = ()


@frozen
class Playback:
    """`target_uri` is "channel:ID" for what is played to a channel."""

    id: str
    target_uri: str = ""
    state: str = ""


@frozen
class StasisStart:
    """A channel has come into an application: a panel's call, or a leg of ours that was answered."""

    application: str
    channel: Channel
    args: tuple[str, ...] = ()


@frozen
class StasisEnd:
    """A channel has left its application: for an inbound channel, its end."""

    channel: Channel


@frozen
class ChannelStateChange:
    channel: Channel


@frozen
class ChannelDestroyed:
    """A channel is gone. `cause` is Q.850 (0: not known), `tech_cause` the SIP code that ended it (0: none)."""

    channel: Channel
    cause: int = 0
    cause_txt: str = ""
    tech_cause: int = 0


@frozen
class ChannelDtmfReceived:
    channel: Channel
    digit: str
    duration_ms: int = 0


@frozen
class ChannelEnteredBridge:
    channel: Channel
    bridge: Bridge


@frozen
class Dial:
    """How far the dialling of `peer` is: dialstatus RINGING, PROGRESS, PROCEEDING, ANSWER, BUSY, CONGESTION, …"""

    peer: Channel
    dialstatus: str = ""

    @property
    def channel(self) -> Channel:
        return self.peer


@frozen
class PlaybackFinished:
    playback: Playback


@frozen
class ApplicationReplaced:
    """Another connection has taken this application: a second node with the same ARI, or an older self."""

    application: str


@frozen
class Reply:
    """The answer to a request that went over a WebSocket. `status` is an HTTP status."""

    request_id: str
    status_code: int
    reason_phrase: str = ""
    message_body: str = ""


@frozen
class Malformed:
    """A message that could not be read as what it says it is; `why` is for the log."""

    why: str


ChannelEvent = (
    StasisStart
    | StasisEnd
    | ChannelStateChange
    | ChannelDestroyed
    | ChannelDtmfReceived
    | ChannelEnteredBridge
    | Dial
)
Event = ChannelEvent | PlaybackFinished | ApplicationReplaced | Reply | Malformed


@frozen
class _Head:
    type: str


_head = msgspec.json.Decoder(_Head)
_decoders: dict[str, msgspec.json.Decoder[Event]] = {
    "StasisStart": msgspec.json.Decoder(StasisStart),
    "StasisEnd": msgspec.json.Decoder(StasisEnd),
    "ChannelStateChange": msgspec.json.Decoder(ChannelStateChange),
    "ChannelDestroyed": msgspec.json.Decoder(ChannelDestroyed),
    "ChannelDtmfReceived": msgspec.json.Decoder(ChannelDtmfReceived),
    "ChannelEnteredBridge": msgspec.json.Decoder(ChannelEnteredBridge),
    DIAL: msgspec.json.Decoder(Dial),
    "PlaybackFinished": msgspec.json.Decoder(PlaybackFinished),
    "ApplicationReplaced": msgspec.json.Decoder(ApplicationReplaced),
    "RESTResponse": msgspec.json.Decoder(Reply),
}
_known_but_unused = (frozenset(UNWANTED) - {DIAL}) | {
    "ChannelUserevent",
    "ChannelTalkingStarted",
    "ChannelTalkingFinished",
}


def decode(message: bytes) -> Event | None:
    """The event in one message; None for one that we know and do not use; never raises."""
    try:
        kind = _head.decode(message).type
        decoder = _decoders.get(kind)
        if decoder is None:
            return (
                None
                if kind in _known_but_unused
                else Malformed(f"an event of the unknown type {kind[:80]!r}")
            )
        return decoder.decode(message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Malformed(f"{error}: {message[:200]!r}")
