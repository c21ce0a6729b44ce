"""Why each phone rang or did not: what became of every account of a call, in one line.

Pure functions of a `CallRecord`; `words` are a gettext catalogue (see crm.calls.words).
"""

from __future__ import annotations

from enum import Enum
from gettext import NullTranslations

from attrs import frozen

from crm.calls.picture import ASLEEP_S
from crm.calls.words import ENGLISH, decimal, sip_words
from crm.columns import clean
from crm.values.records import CallRecord, Entry, EntryKind, LegEnd, LegRecord

# By these words push services say that a phone's token is none any more: its app was removed, or signed out.
_DEAD = ("unregistered", "notregistered", "baddevicetoken", "invalidtoken", "invalid_token", "expiredtoken")


class Tone(Enum):
    """How good it is; the value is the colour on a page."""

    FINE = "fine"
    LOOK = "look"
    ACT = "act"
    OFF = "off"


@frozen
class AccountVerdict:
    """What became of an account. `phones` are their platforms ("ios, android")."""

    account: str
    phones: str
    tone: Tone
    text: str


def verdicts(record: CallRecord, words: NullTranslations = ENGLISH) -> list[AccountVerdict]:
    """One for each account that the call rang or pushed to, in the order in which it did."""
    legs: dict[str, list[LegRecord]] = {}
    for leg in record.legs:
        if leg.role == "account":
            legs.setdefault(leg.account, []).append(leg)
    accounts = dict.fromkeys([*legs, *(str(each.data.get("account", "")) for each in pushes(record))])
    return [_verdict(record, name, legs.get(name, []), words) for name in accounts if name]


def pushes(record: CallRecord, account: str | None = None) -> list[Entry]:
    """All that was heard of pushes for ringing, of one account or of all."""
    kinds = (EntryKind.PUSH_SENT, EntryKind.PUSH_ACCEPTED, EntryKind.PUSH_REFUSED)
    return [
        each
        for each in record.entries
        if each.kind in kinds
        and each.data.get("push") != "cancel"
        and (account is None or each.data.get("account") == account)
    ]


def _verdict(
    record: CallRecord, account: str, legs: list[LegRecord], words: NullTranslations
) -> AccountVerdict:
    sent = pushes(record, account)
    platforms = dict.fromkeys(clean(str(e.data["platform"])) for e in sent if e.data.get("platform"))
    leg = next((each for each in legs if each.answered_at is not None), legs[-1] if legs else None)
    tone, became = _became(record, leg, words)
    parts = [part for part in (_pushed(sent, words), became) if part]
    return AccountVerdict(clean(account), ", ".join(platforms), tone, ", ".join(parts))


def _pushed(sent: list[Entry], words: NullTranslations) -> str:
    """What became of an account's pushes."""
    say = words.gettext
    if not sent:
        return say("no push was sent")
    parts = []
    accepted = [e for e in sent if e.kind is EntryKind.PUSH_ACCEPTED]
    refused = [e for e in sent if e.kind is EntryKind.PUSH_REFUSED]
    if accepted:
        parts.append(say("push accepted"))
    for each in refused:
        why = clean(str(each.data.get("why") or say("no reason given")))
        if is_dead(why):
            parts.append(say("push refused, the token is dead (%(why)s)") % {"why": why})
        else:
            parts.append(say("push refused (%(why)s)") % {"why": say(why)})
    if not accepted and not refused:
        parts.append(say("push sent, and not answered yet"))
    return ", ".join(dict.fromkeys(parts))


def is_dead(why: str) -> bool:
    """Whether a push was refused as its token is none any more."""
    bare = why.lower().replace(" ", "")
    return any(word in bare for word in _DEAD)


def _became(record: CallRecord, leg: LegRecord | None, words: NullTranslations) -> tuple[Tone, str]:
    """What became of an account's leg."""
    say = words.gettext
    if leg is None:
        return Tone.ACT, say("it was not called")
    begun = leg.invited_at if leg.invited_at is not None else record.started_at
    if leg.answered_at is not None:
        return Tone.FINE, say("answered after %(n)s s") % {"n": decimal(leg.answered_at - begun, words)}
    until = leg.ended_at or record.ended_at
    if leg.ringing_at is None:
        return _never_rang(leg, words)
    late = leg.ringing_at - begun
    parts = []
    if until is None:
        parts.append(say("rings"))
    else:
        parts.append(say("rang %(n)s s") % {"n": decimal(max(0.0, until - leg.ringing_at), words)})
    if late >= ASLEEP_S:
        parts.append(say("only %(n)s s after the call came: it slept") % {"n": decimal(late, words)})
    if leg.end in _RANG:
        parts.append(say(_RANG[leg.end]))
    elif leg.end is not None:
        parts.append(say(_OTHER[leg.end]))
    return Tone.LOOK if late >= ASLEEP_S else Tone.FINE, ", ".join(parts)


def _never_rang(leg: LegRecord, words: NullTranslations) -> tuple[Tone, str]:
    say = words.gettext
    match leg.end:
        case LegEnd.UNREACHABLE:
            return Tone.ACT, say("never registered")
        case LegEnd.BUSY:
            return Tone.LOOK, say("busy")
        case LegEnd.DECLINED:
            return Tone.LOOK, say("declined")
        case LegEnd.ANSWERED_ELSEWHERE:
            return Tone.LOOK, say("had not registered when another phone answered")
        case LegEnd.CANCELLED:
            return Tone.LOOK, say("had not registered when the call was over")
        case None:
            return Tone.OFF, say("not registered yet")
        case _:
            why = say(_OTHER.get(leg.end, "failed"))
            if leg.sip_code is not None and leg.sip_code >= 300:
                why = f"{why} (SIP {leg.sip_code}: {sip_words(leg.sip_code, leg.end, words)})"
            return Tone.ACT, say("never rang: %(why)s") % {"why": why}


_RANG = {
    LegEnd.ANSWERED_ELSEWHERE: "another phone answered",
    LegEnd.CANCELLED: "the call was over",
    LegEnd.BUSY: "busy",
    LegEnd.DECLINED: "declined",
    LegEnd.NO_ANSWER: "was not answered",
    LegEnd.UNREACHABLE: "was not answered",
}
_OTHER = {
    LegEnd.HUNG_UP: "hung up",
    LegEnd.DROPPED: "talk over",
    LegEnd.FAILED: "failed",
    LegEnd.LOST: "end not seen",
    LegEnd.NO_ANSWER: "no answer",
}
