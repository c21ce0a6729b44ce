"""One try to reach a dispatch over a trunk: how its leg is made, and what becomes of it.

For 112 calls and for test calls alike. What a failure means is decided by `judge`, a plain function.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from enum import Enum

import trio
from attrs import frozen

from actors.sos_world import SosPage, SosWorld
from crm.values.records import EntryKind, LegEnd
from said import Says, said
from telephony.ari.channels import Leg, LegState, Refused
from telephony.ari.events import StasisStart
from telephony.location import Location, location_variables

# What a trunk answers that does not take an INVITE with more than SDP in it.
_NO_MULTIPART = (400, 406, 415, 420, 488, 493, 513, 606)
_BUSY_CODES, _BUSY_CAUSE = (486, 600), 17
ON_ITS_WAY_S = 0.02  # in which Asterisk sends an INVITE
MORE_S = 5  # by which Asterisk gives up later than we do

Receive = Callable[[], Awaitable[list[object]]]


class Verdict(Enum):
    """What became of a try."""

    ANSWERED = "answered"
    BUSY = "busy"
    NO_LOCATION = "no_location"  # refused, perhaps only for the location that it carried
    FAILED = "failed"
    SILENT = "silent"  # no sign of life
    NO_ANSWER = "no_answer"  # it rang, and nobody came
    STOPPED = "stopped"  # the caller does not want it any more


@frozen
class Attempt:
    """Over which trunk, to which number, and whether it is told where the panel is."""

    dispatch: str
    trunk: str
    dials: str
    located: bool


def judge(leg: Leg, attempt: Attempt) -> Verdict:
    """What the end of a leg that was not answered means."""
    code = leg.tech_cause
    if attempt.located and code in _NO_MULTIPART:
        return Verdict.NO_LOCATION
    if code in _BUSY_CODES or (not code and leg.cause == _BUSY_CAUSE):
        return Verdict.BUSY
    return Verdict.FAILED


def create(
    leg: Leg,
    attempt: Attempt,
    location: Location,
    entity: str,
    *,
    originator: str = "",
    test: bool = False,
) -> None:
    """Make the leg's channel, which may take as long as a lease does; `await_answer` dials it."""
    variables = location_variables(location, entity=entity) if attempt.located else {}
    if test:
        variables["PJSIP_HEADER(add,Subject)"] = "test"
    leg.create(f"PJSIP/{attempt.dials}@{attempt.trunk}", originator=originator, variables=variables)


async def await_answer(
    world: SosWorld,
    page: SosPage,
    leg: Leg,
    attempt: Attempt,
    number: str,
    receive: Receive,
    *,
    stop: Callable[[], bool],
    on_ring: Callable[[], None],
    dialled: bool = False,
    blame: bool = True,
) -> Verdict:
    """Dial as soon as the channel is there, and wait for what comes of it; `receive` gives what the leg tells.

    `number` is what the dispatch sees and calls back, "" for none.
    `blame`: a refusal is the trunk's failure (and not that of a number which only a test call dials).
    """
    config = world.config
    record = page.leg(leg, "dispatch", attempt.trunk)
    rings = False
    verdict: Verdict | None = None
    with trio.CancelScope(deadline=trio.current_time() + config.trunk_s) as limit:
        while verdict is None:
            if leg.state is LegState.UP:
                verdict = Verdict.ANSWERED
            elif leg.gone:
                verdict = judge(leg, attempt)
            elif stop():
                verdict = Verdict.STOPPED
            else:
                if leg.state is LegState.RINGING and not rings:
                    rings = True
                    limit.deadline = trio.current_time() + config.ring_s
                    record.ringing_at = time.time()
                    page.note(EntryKind.RINGING, leg.id, account=attempt.trunk)
                    on_ring()
                for message in await receive():
                    match message:
                        case (Leg() as its, StasisStart()) if its is leg and not dialled:
                            dialled = True
                            if number:
                                # Whom a created channel calls for is its connected line: of that Asterisk makes From
                                # and P-Asserted-Identity. Before it is in its application that could be lost.
                                leg.set_variable("CONNECTEDLINE(all)", f"<{number}>")
                            leg.dial(int(config.ring_s) + MORE_S)
                            world.ari.precedence.claim(ON_ITS_WAY_S)
                        case (Leg() as its, Refused(what=what)) if its is leg and what.endswith("/dial"):
                            verdict = Verdict.FAILED
    verdict = verdict or (Verdict.NO_ANSWER if rings else Verdict.SILENT)
    if verdict is Verdict.ANSWERED:
        page.answered(leg, record)
    else:
        page.unanswered(leg, record, _ENDS.get(verdict, LegEnd.FAILED))
    match verdict:
        case Verdict.ANSWERED | Verdict.BUSY:
            world.trunks.worked(attempt.trunk)
        case Verdict.FAILED if blame:
            why = f"{leg.tech_cause or leg.cause} {leg.why}".rstrip()
            world.trunks.failed(attempt.trunk, said(Says.TRUNK_REFUSED, why=why))
        case Verdict.SILENT:
            world.trunks.failed(attempt.trunk, said(Says.TRUNK_SILENT, seconds=f"{config.trunk_s:g}"))
        case _:
            pass
    return verdict


_ENDS = {
    Verdict.BUSY: LegEnd.BUSY,
    Verdict.SILENT: LegEnd.UNREACHABLE,
    Verdict.NO_ANSWER: LegEnd.NO_ANSWER,
    Verdict.STOPPED: LegEnd.CANCELLED,
}
