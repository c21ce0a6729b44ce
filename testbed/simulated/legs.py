"""Calls that leave the simulated Asterisk: each goes to a scripted phone (phones.py), which rings, answers,
refuses, sleeps.

A step of a phone's script happens only if the leg is still there: whoever ends it needs to cancel nothing.
"""

from __future__ import annotations

from testbed.simulated.causes import sip_to_cause
from testbed.simulated.phones import Phone
from testbed.simulated.shapes import Channel, ChannelState
from testbed.simulated.world import World


def dial(world: World, channel: Channel, timeout_s: float) -> None:
    """Send the INVITE: from here on the phone's script runs. `timeout_s` <= 0: no limit."""
    if channel.id not in world.channels:
        return
    channel.dialled = True
    world.tell_dial(channel, "")
    phone = world.phones.get(channel.user)
    if timeout_s > 0:
        world.timers.later(timeout_s, world.expire, channel)
    awake_s = phone.wakes_s or 0.0
    if phone.wakes_s is not None or phone.sleeps:
        world.tell_dial(channel, "PROGRESS")
        if phone.wakes_s is None:
            return
    if phone.ring_s is not None:
        world.timers.later(awake_s + phone.ring_s, _ring, world, channel)
    if phone.refuse is not None:
        world.timers.later(awake_s + phone.refuse_s, _refuse, world, channel, phone.refuse)
    elif phone.answer_s is not None:
        world.timers.later(awake_s + phone.answer_s, _answer, world, channel, phone)


def _waits(world: World, channel: Channel) -> bool:
    return world.channels.get(channel.id) is channel and channel.state is not ChannelState.UP


def _ring(world: World, channel: Channel) -> None:
    if _waits(world, channel):
        channel.changed(state=ChannelState.RINGING)
        world.tell(channel, "ChannelStateChange")
        world.tell_dial(channel, "RINGING")


def _refuse(world: World, channel: Channel, code: int) -> None:
    if _waits(world, channel):
        world.hang_up(channel, sip_to_cause(code), sip=code)


def _answer(world: World, channel: Channel, phone: Phone) -> None:
    if not _waits(world, channel):
        return
    channel.changed(state=ChannelState.UP)
    world.tell(channel, "ChannelStateChange")
    world.tell_dial(channel, "ANSWER")
    if channel.stasis is None and not world.enter_stasis(channel, channel.stasis_app, channel.stasis_args):
        world.hang_up(channel, 16)
        return
    if phone.hangup_s is not None:
        world.timers.later(phone.hangup_s, _hang_up, world, channel)
    for place, digit in enumerate(phone.dtmf, start=1):
        world.timers.later(place * phone.dtmf_s, world.dtmf_from, channel, digit)


def _hang_up(world: World, channel: Channel) -> None:
    if world.channels.get(channel.id) is channel:
        world.hang_up(channel)
