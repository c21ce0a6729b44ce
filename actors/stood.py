"""What of a call stood in Asterisk when the node came (back): plain functions of a snapshot.

Ids say whose channels and bridges are: `td-<call>-<role>-<n>`, and the call's id follows from the channel that came in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from actors.domophone import Found, Talk
from crm.values.records import CallRecord
from telephony.ari.events import Bridge, Channel

_GOES_ON = ("Up", "Ringing")  # a leg in another state may not have been dialled yet


@frozen
class Stood:
    """To go on with: a visitor's talk, or the other leg of a 112 call; what was known of the call; the first leg's number
    that none has had. `stood`: the channel stood when the node came, and has not just come in.
    """

    talk: Talk | None = None
    found: Found | None = None
    record: CallRecord | None = None
    first_leg: int = 1
    stood: bool = False


def what_stood(
    call_id: str,
    came_in: Channel,
    bridges: Iterable[Bridge],
    there: Mapping[str, Channel],
    record: CallRecord | None,
) -> tuple[Stood, set[str]]:
    """What stood of the call of a channel that came in, and the ids of what it goes on with."""
    ours = f"td-{call_id}-"
    bridge = next((b for b in bridges if b.id.startswith(f"{ours}bridge") and came_in.id in b.channels), None)
    legs = [channel for id, channel in there.items() if id.startswith(ours)]
    bridged = [leg for leg in legs if bridge is not None and leg.id in bridge.channels]
    # Those that have ended since are in the record only: their ids are not used again.
    ids = [leg.id for leg in legs] + [leg.channel for leg in (record.legs if record else ())]
    numbers = [
        int(number) for id in ids if id.startswith(ours) and (number := id.rpartition("-")[2]).isdigit()
    ]
    first_leg = 1 + max(numbers, default=0)
    if bridge is not None and len(bridged) == 1:
        leg = bridged[0]
        stood = Stood(Talk(bridge.id, leg.id), Found(leg.id, bridge.id, up=True), record, first_leg, True)
        return stood, {leg.id, bridge.id}
    # A dispatch that rings, or has answered while nobody was there to bridge it, is not called a second time.
    sos = [leg for leg in legs if leg.id.startswith(f"{ours}sos-") and leg.state in _GOES_ON]
    if not sos:
        return Stood(None, None, record, first_leg, True), set()
    best = min(sos, key=lambda leg: _GOES_ON.index(leg.state))
    found = Found(best.id, "", up=best.state == "Up")
    return Stood(None, found, record, first_leg, True), {best.id}
