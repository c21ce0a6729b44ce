"""What the simulated Asterisk knows and does: applications, channels, bridges, playbacks, and the events
about them.

No sockets here: an event goes to an application's sink as bytes, a request's outcome is a return value. The
order of events is the one seen on a running 22.10.1. What a channel's far end does is in legs.py and
panels.py.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from testbed.simulated.causes import CAUSE_TEXT, CAUSE_TO_SIP, dial_status
from testbed.simulated.phones import PhoneBook
from testbed.simulated.shapes import App, Bridge, Channel, ChannelState, PeerSees, Playback, encode
from testbed.simulated.timers import Timers

Sink = Callable[[bytes], None]

SYSTEM_NAME = "node1"  # stands before the ids that Asterisk itself chooses

# ChannelHangupRequest's cause when the hang-up was asked for over ARI: an internal flag, not Q.850.
ASKED = 32

_QOS = [
    (
        "",
        "ssrc=1165316090;themssrc=0;lp=0;rxjitter=0.000000;rxcount=0;txjitter=0.000000;txcount=5;rlp=0;"
        "rtt=0.000000;rxmes=0.000000;txmes=0.000000",
    ),
    *(
        (what, "".join(f"{v}={'0' * 3}.{'0' * 6};" for v in names))
        for what, names in {
            "JITTER": [f"{a}{b}jitter" for b in ("rx", "tx") for a in ("min", "max", "avg", "stdev")],
            "LOSS": [f"  {a}{b}lost" for b in ("rx", "tx") for a in ("min", "max", "avg", "stdev")],
            "RTT": [f"     {a}rtt" for a in ("min", "max", "avg", "stdev")],
            "MES": [f"   {a}{b}mes" for b in ("rx", "tx") for a in ("min", "max", "avg", "stdev")],
        }.items()
    ),
]


class World:
    """All state of one Asterisk. Everything in it is changed by plain functions, in one thread."""

    def __init__(self, version: str = "22.10.1") -> None:
        self.version = version
        major, minor = (int(part) for part in version.split(".")[:2])
        self.takes_requests_over_websockets = (major, minor) >= (22, 4) or (major == 20 and minor >= 14)
        self.timers = Timers()
        self.phones = PhoneBook()
        self.apps: dict[str, App] = {}
        self.channels: dict[str, Channel] = {}
        self.bridges: dict[str, Bridge] = {}
        self.playbacks: dict[str, Playback] = {}
        self._stamp_ms = 0
        self._stamp = ""
        self.started = self.stamp()
        self.media_s = 1.0  # how long every played item lasts
        self.events_sent = 0
        self.on_leg: Callable[[Channel], None] | None = None  # told of every originate, for measuring
        self.on_bridge: Callable[[Bridge], None] | None = None  # and of every bridge that joins two
        self._number = 0

    # Names and times

    def stamp(self) -> str:
        """Now, as Asterisk writes it."""
        now_ms = time.time_ns() // 1_000_000
        if now_ms != self._stamp_ms:
            self._stamp_ms = now_ms
            moment = datetime.fromtimestamp(now_ms // 1000, UTC)
            self._stamp = f"{moment:%Y-%m-%dT%H:%M:%S}.{now_ms % 1000:03d}+0000"
        return self._stamp

    def new_channel(self, channel_id: str = "", endpoint: str = "PJSIP/televoip") -> Channel:
        number, self._number = self._number, self._number + 1
        channel = Channel(
            id=channel_id or f"{SYSTEM_NAME}-{int(time.time())}.{number}",
            name=f"{endpoint}-{number:08x}",
            state=ChannelState.DOWN,
            protocol_id=str(uuid.UUID(int=uuid.getnode() << 64 | number)),
            created=self.stamp(),
        )
        self.channels[channel.id] = channel
        return channel

    # Events

    def publish(self, apps: list[App], kind: str, body: bytes) -> None:
        """Send an event's `body` (from its first `,"…` after type and timestamp on) to each app that wants
        it.
        """
        head = b""
        for app in apps:
            if app.wants(kind):
                if not head:
                    head = f'{{"type":"{kind}","timestamp":"{self.stamp()}"'.encode() + body
                assert app.sink is not None
                app.sink(head + app.tail)
                self.events_sent += 1

    def tell(self, channel: Channel, kind: str, fields: bytes = b"", bridge: Bridge | None = None) -> None:
        """An event about a channel; `fields` is `,"name":value…`."""
        watchers = channel.watchers
        if bridge is not None:
            watchers = [*watchers, *(app for app in bridge.watchers if app not in watchers)]
        for app in watchers:
            if app.wants(kind):
                break
        else:
            return
        if bridge is not None:
            fields += b',"bridge":' + bridge.json()
        self.publish(watchers, kind, fields + b',"channel":' + channel.json())

    def tell_dial(self, channel: Channel, status: str) -> None:
        fields = f',"dialstatus":"{status}","forward":"","dialstring":"televoip","peer":'.encode()
        if channel.watchers:
            self.publish(channel.watchers, "Dial", fields + channel.json())

    def tell_var(self, channel: Channel, variable: str, value: str) -> None:
        if any(app.wants("ChannelVarset") for app in channel.watchers):
            self.tell(
                channel, "ChannelVarset", b',"variable":' + encode(variable) + b',"value":' + encode(value)
            )

    # Applications

    def attach(self, name: str, app_sink: Sink) -> App:
        app = self.apps.get(name)
        if app is None:
            app = self.apps[name] = App(name)
        if app.sink is not None and app.sink != app_sink:
            app.sink(b'{"type":"ApplicationReplaced","timestamp":"' + self.stamp().encode() + b'"' + app.tail)
        app.sink = app_sink
        return app

    def detach(self, app: App, app_sink: Sink) -> None:
        """Its WebSocket is gone. With nothing subscribed to, the application and its filter go as well."""
        if app.sink == app_sink:
            app.sink = None
            self._forget(app)

    def _forget(self, app: App) -> None:
        if app.sink is None and not app.channels and not app.bridges and self.apps.get(app.name) is app:
            del self.apps[app.name]

    def subscribe(self, app: App, channel: Channel) -> None:
        app.channels[channel.id] = app.channels.get(channel.id, 0) + 1
        if app not in channel.watchers:
            channel.watchers.append(app)

    def unsubscribe(self, app: App, channel: Channel, all_of_it: bool = False) -> None:
        left = 0 if all_of_it else app.channels.get(channel.id, 0) - 1
        if left > 0:
            app.channels[channel.id] = left
            return
        app.channels.pop(channel.id, None)
        if app in channel.watchers:
            channel.watchers.remove(app)
        self._forget(app)

    # Stasis

    def enter_stasis(self, channel: Channel, name: str, args: list[str]) -> bool:
        """The channel enters the application; False where nobody is attached to that."""
        app = self.apps.get(name)
        if app is None or app.sink is None:
            return False
        channel.stasis = app
        channel.changed(app_name="Stasis", app_data=",".join([name, *args]))
        self.tell_var(channel, "STASISSTATUS", "")
        self.subscribe(app, channel)
        self.tell(channel, "StasisStart", b',"args":' + encode(args))
        return True

    def leave_stasis(self, channel: Channel) -> None:
        app = channel.stasis
        if app is None:
            return
        self.leave_bridge(channel)
        channel.stasis = None
        self.tell(channel, "StasisEnd")
        self.unsubscribe(app, channel)
        self.tell_var(channel, "STASISSTATUS", "SUCCESS")

    # Ends of channels

    def hang_up(self, channel: Channel, cause: int = 0, asked: bool = False, sip: int | None = None) -> None:
        """End a channel. `asked`: by a request; otherwise its far end did it, with the SIP code `sip` where
        it refused.
        """
        if self.channels.pop(channel.id, None) is None:
            return
        up = channel.state is ChannelState.UP
        if up:
            for what, value in _QOS:
                self.tell_var(channel, f"RTPAUDIOQOS{what}", value)
                if channel.bridge is not None:
                    for other in channel.bridge.channels:
                        if other is not channel:
                            self.tell_var(other, f"RTPAUDIOQOS{what}BRIDGED", value)
        if asked:
            self.tell(channel, "ChannelHangupRequest", b',"cause":%d,"soft":true' % ASKED)
        elif sip is not None:
            self.tell(channel, "ChannelHangupRequest", b',"cause":%d,"tech_cause":%d' % (cause, sip))
        else:
            # A BYE says no cause: a bridge that was left has set one, else there is none.
            fields = b',"cause":%d' % channel.cause if channel.cause else b""
            self.tell(channel, "ChannelHangupRequest", fields)
            self.leave_bridge(channel)
            cause = channel.cause
        self.end(channel, cause, sip)

    def expire(self, channel: Channel) -> None:
        """An originate's own timeout: no ChannelHangupRequest and no Dial, as on the real one."""
        if self.channels.get(channel.id) is channel and channel.state is not ChannelState.UP:
            del self.channels[channel.id]
            self.end(channel, 19, None, dial=False)

    def end(self, channel: Channel, cause: int, sip: int | None, dial: bool = True) -> None:
        for playback in [p for p in self.playbacks.values() if p.channel is channel]:
            self.finish(playback, "failed")
        if channel.dialled and channel.state is not ChannelState.UP and dial:
            self.tell_dial(channel, dial_status(cause))
        self.leave_stasis(channel)
        tech = sip if sip is not None else CAUSE_TO_SIP.get(cause)
        fields = f',"cause":{cause},"cause_txt":"{CAUSE_TEXT.get(cause, "Unknown")}"'
        if tech is not None and channel.state is not ChannelState.UP:
            fields += f',"tech_cause":{tech}'
        self.tell(channel, "ChannelDestroyed", fields.encode())
        for app in list(channel.watchers):
            self.unsubscribe(app, channel, all_of_it=True)
        if channel.hears is not None:
            channel.hears(PeerSees.ENDED, tech or 603 if channel.state is not ChannelState.UP else cause)

    # Bridges

    def enter_bridge(self, bridge: Bridge, channel: Channel) -> None:
        if channel.bridge is bridge:
            return
        self.leave_bridge(channel)
        app = channel.stasis
        bridge.channels.append(channel)
        channel.bridge = bridge
        if app is not None:
            app.bridges[bridge.id] = app.bridges.get(bridge.id, 0) + 1
            if app not in bridge.watchers:
                bridge.watchers.append(app)
        self.tell(channel, "ChannelEnteredBridge", bridge=bridge)
        if len(bridge.channels) == 2:
            self._joined(*bridge.channels)
            if self.on_bridge is not None:
                self.on_bridge(bridge)

    def _joined(self, first: Channel, second: Channel) -> None:
        for _ in range(3):
            for channel, other in ((second, first), (first, second)):
                self.tell_var(channel, "BRIDGEPEER", other.name)
                self.tell_var(channel, "BRIDGEPVTCALLID", other.protocol_id)
        for channel, other in ((second, first), (first, second)):
            if channel.connected != other.caller:
                channel.changed(connected=other.caller)
                self.tell(channel, "ChannelConnectedLine")

    def leave_bridge(self, channel: Channel) -> None:
        bridge = channel.bridge
        if bridge is None:
            return
        channel.bridge = None
        channel.cause = 16
        bridge.channels.remove(channel)
        self.tell_var(channel, "BRIDGEPEER", "")
        self.tell_var(channel, "BRIDGEPVTCALLID", "")
        self.tell(channel, "ChannelLeftBridge", bridge=bridge)
        app = channel.stasis
        if app is not None:
            left = app.bridges.get(bridge.id, 0) - 1
            if left > 0:
                app.bridges[bridge.id] = left
            else:
                app.bridges.pop(bridge.id, None)
                if bridge.id not in self.bridges:
                    self.publish([app], "BridgeDestroyed", b',"bridge":' + bridge.json())
                if app in bridge.watchers:
                    bridge.watchers.remove(app)
                self._forget(app)

    def destroy_bridge(self, bridge: Bridge) -> None:
        self.bridges.pop(bridge.id, None)
        for channel in list(bridge.channels):
            self.leave_bridge(channel)

    # Playbacks: one item after the other, each `media_s` long

    def play(self, playback: Playback) -> None:
        if playback.stopped or playback.id not in self.playbacks:
            return
        playback.state = "playing"
        self.tell_playback(playback, "PlaybackStarted")
        self.timers.later(self.media_s, self._played, playback)

    def _played(self, playback: Playback) -> None:
        if playback.stopped or playback.id not in self.playbacks:
            return
        if len(playback.media) > 1:
            playback.state = "continuing"
            self.tell_playback(playback, "PlaybackContinuing")
            del playback.media[0]
            self.play(playback)
        else:
            self.finish(playback, "done")

    def finish(self, playback: Playback, state: str) -> None:
        if self.playbacks.pop(playback.id, None) is not None:
            playback.state, playback.stopped = state, True
            self.tell_playback(playback, "PlaybackFinished")

    def tell_playback(self, playback: Playback, kind: str) -> None:
        self.publish(playback.channel.watchers, kind, b',"playback":' + playback.json())

    # Digits, and the end of everything

    def dtmf_from(self, channel: Channel, digit: str, duration_ms: int = 160) -> None:
        """A channel's far end presses a digit; it passes the bridge to the other far ends."""
        if channel.id not in self.channels:
            return
        self.tell(
            channel, "ChannelDtmfReceived", b',"digit":%s,"duration_ms":%d' % (encode(digit), duration_ms)
        )
        if channel.bridge is not None:
            for other in channel.bridge.channels:
                if other is not channel and other.hears is not None:
                    other.hears(PeerSees.DTMF, ord(digit))

    def restart(self) -> None:
        """Asterisk died and is back: nothing is left, and nobody was told."""
        ended = [channel for channel in self.channels.values() if channel.hears is not None]
        for registry in (self.channels, self.bridges, self.playbacks, self.apps):
            registry.clear()
        self.timers.clear()
        self.started = self.stamp()
        for channel in ended:
            assert channel.hears is not None
            channel.hears(PeerSees.ENDED, 0)
