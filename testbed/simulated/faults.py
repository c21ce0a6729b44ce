"""Faults on demand: what a bad day does to ARI, switched on by a test or over the control port.

Switches stay until they are taken back; what happens once (a dropped socket, a wrong event) is a method of
`Simulated`.
"""

from __future__ import annotations

from attrs import define


@define(kw_only=True)
class Faults:
    """Every switch, off."""

    booting: bool = False  # every request gets 503, and WebSockets are refused
    hang: bool = False  # requests over WebSockets are read and never done
    reply_delay_s: float = (
        0.0  # each request over a WebSocket waits this long, and so does every one behind it
    )
    delay_path: str = ""  # only requests whose URI contains this are delayed, hung or refused
    reorder: int = 0  # so many replies are held back and sent last first
    refuse_status: int = 0  # this status instead of doing the request
    refuse_stops: int = 0  # so many requests to stop a playback fail, as those do that come while it begins
    mute_events: bool = False  # events are lost, replies are not

    @property
    def any(self) -> bool:
        return bool(
            self.booting
            or self.hang
            or self.reply_delay_s
            or self.reorder
            or self.refuse_status
            or self.refuse_stops
            or self.mute_events
        )

    def hits(self, uri: str) -> bool:
        return self.delay_path in uri
