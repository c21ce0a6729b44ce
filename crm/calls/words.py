"""What happened in a call, in plain words of whatever language.

Pure functions of a `CallRecord`. `words` are a gettext catalogue; without one it is English. A panel's and a phone's
texts are strangers': control characters in them are shown as "·".
"""

from __future__ import annotations

from gettext import NullTranslations

from crm.calls.picture import ASLEEP_S
from crm.columns import clean
from crm.values.records import CallRecord, Entry, EntryKind, LegEnd, Outcome

ENGLISH = NullTranslations()

OUTCOMES = {
    Outcome.TALKED: "talked",
    Outcome.AUTO_OPENED: "door opened by itself (auto-open)",
    Outcome.UNKNOWN_PANEL: "panel unknown",
    Outcome.UNKNOWN_FLAT: "flat unknown at this panel",
    Outcome.BLOCKED: "flat blocked",
    Outcome.NO_ACCOUNTS: "nobody to ring in this flat",
    Outcome.NOBODY_ANSWERED: "nobody answered",
    Outcome.DECLINED: "busy or declined",
    Outcome.RING_TIMEOUT: "ring time over",
    Outcome.GAVE_UP: "visitor gave up",
    Outcome.REPLACED: "replaced by the panel's next call",
    Outcome.PREEMPTED: "ended for a call that comes first",
    Outcome.DIRECTORY_AWAY: "database away, flat not in memory",
    Outcome.STOPPED: "node was stopped",
    Outcome.FAILED: "failed",
    Outcome.LOST: "ended while no node was looking",
    Outcome.UNREACHABLE: "no dispatch could be reached",
}

SIP = {
    400: "the phone did not understand the INVITE",
    401: "not allowed: wrong credentials",
    403: "the phone or its server refuses the call",
    404: "no such account",
    407: "not allowed: wrong credentials",
    408: "no reply in time",
    410: "the account is gone",
    480: "nobody there",
    481: "the other end no longer knows this call",
    484: "the address is incomplete",
    486: "the phone is busy",
    487: "cancelled",
    488: "no sound or video format in common",
    491: "two requests crossed",
    500: "an error at the other end",
    502: "an error behind the other end",
    503: "the other end is out of service",
    504: "no reply in time behind the other end",
    600: "busy everywhere",
    603: "declined",
    604: "no such account anywhere",
    606: "no sound or video format in common",
}

CAUSES = {
    1: "no such number",
    16: "normal end",
    17: "busy",
    18: "no reply",
    19: "rang, no answer",
    20: "not registered",
    21: "rejected",
    26: "answered elsewhere",
    27: "out of order",
    31: "ended",
    34: "no line free",
    38: "network out of order",
    41: "failed for the moment",
    58: "no format in common",
    102: "timer ran out",
    127: "unknown",
}

ENDS = {
    LegEnd.HUNG_UP: "hung up",
    LegEnd.DROPPED: "was dropped: the talk was over",
    LegEnd.CANCELLED: "was cancelled: the visitor gave up, or the ring time was over",
    LegEnd.ANSWERED_ELSEWHERE: "stopped ringing: answered elsewhere",
    LegEnd.BUSY: "is busy",
    LegEnd.DECLINED: "declined",
    LegEnd.NO_ANSWER: "rang, and was not answered",
    LegEnd.UNREACHABLE: "never registered in time, so it never rang",
    LegEnd.FAILED: "failed",
    LegEnd.LOST: "ended, and nobody saw how",
}


WHY = {
    "own_lease": "lent to this panel already",
    "free": "free, the longest unused",
    "expired": "kept for another panel, whose guarantee is over",
    "broken": "still guaranteed to another panel, as no other is left",
    "own_number": "the panel's own",
    "no number": "the pool has none",
}

# Why a leg was cancelled, where how the call ended tells.
CANCELLED: dict[Outcome | None, str] = {
    Outcome.RING_TIMEOUT: "was cancelled: the ring time was over",
    Outcome.GAVE_UP: "was cancelled: the visitor gave up",
    Outcome.REPLACED: "was cancelled: the panel called again",
    Outcome.PREEMPTED: "was cancelled: a call came that goes first",
}

# Who ended a call, where that is not an account.
ENDERS = {
    "panel": "the panel",
    "limit": "the time limit",
    "visitor": "a visitor's call",
    "test_ring": "the test ring itself",
}

# These codes say no more than that we, or this end, wanted it so.
OURS = (LegEnd.HUNG_UP, LegEnd.DROPPED, LegEnd.CANCELLED, LegEnd.ANSWERED_ELSEWHERE)


def sentence(record: CallRecord, entry: Entry, words: NullTranslations = ENGLISH) -> str:
    """What happened, as a sentence."""
    say = words.gettext
    data = {key: clean(str(value)) for key, value in entry.data.items()}

    def told(name: str, otherwise: str = "?") -> str:
        return data.get(name) or otherwise

    who = told("account")
    match entry.kind:
        case EntryKind.BUTTON if record.kind == "test_ring":
            return say("%(by)s: ring this flat's phones, for a test") % {"by": told("by", say("somebody"))}
        case EntryKind.BUTTON:
            return say("button: panel %(panel)s calls %(dialled)s") % {
                "panel": data.get("panel", "?"),
                "dialled": data.get("dialled", "?"),
            }
        case EntryKind.FOUND:
            return _found(entry, data, words)
        case EntryKind.NOT_FOUND:
            return say("not found: %(why)s") % {"why": say(told("why", "no reason given"))}
        case EntryKind.PUSH_SENT | EntryKind.PUSH_ACCEPTED | EntryKind.PUSH_REFUSED:
            return _push(entry, data, words)
        case EntryKind.INVITE:
            return say("%(who)s: INVITE sent") % {"who": who}
        case EntryKind.RINGING:
            late = _after_invite_s(record, entry)
            if late is None:
                return say("%(who)s: ringing") % {"who": who}
            slept = say(
                "%(who)s: ringing %(seconds)s s after its INVITE: it slept until it registered, or was slow"
            )
            return slept % {"who": who, "seconds": decimal(late, words)}
        case EntryKind.ANSWERED:
            return say("%(who)s: answered") % {"who": who}
        case EntryKind.LEG_ENDED:
            return _ended(record, entry, data, words)
        case EntryKind.BRIDGED if record.kind == "visitor":
            return say("%(who)s: talks with the visitor") % {"who": who}
        case EntryKind.BRIDGED:
            return say("%(who)s: talks with the other end") % {"who": who}
        case EntryKind.DTMF:
            return say("%(by)s: pressed %(digit)s") % {
                "by": data.get("by", "?"),
                "digit": data.get("digit", "?"),
            }
        case EntryKind.DOOR:
            digit = data.get("digit", "?")
            if data.get("by") == "auto-open":
                return say("door opened by itself (digit %(digit)s): auto-open is on") % {"digit": digit}
            return say("door opened by %(by)s (digit %(digit)s)") % {
                "by": data.get("by", "?"),
                "digit": digit,
            }
        case EntryKind.PROMPT:
            heard = {
                "visitor": "the visitor hears %(media)s",
                "test_ring": "the phone hears %(media)s",
            }.get(record.kind, "the panel hears %(media)s")
            return say(heard) % {"media": data.get("media", "?")}
        case EntryKind.RECOVERED:
            return say("taken up again after a restart: %(how)s") % {"how": say(data.get("how") or "?")}
        case EntryKind.LENT:
            why = data.get("why", "?")
            return say("shows %(number)s: %(why)s") % {
                "number": told("number", say("no number")),
                "why": say(WHY.get(why, why) or "?"),
            }
        case EntryKind.CALLED_BACK:
            known = entry.data.get("known")
            back = (
                "call back to %(number)s from %(caller)s, a dispatch's number"
                if known
                else "call back to %(number)s from %(caller)s, a number that is no dispatch's"
            )
            return say(back) % {"number": data.get("number", "?"), "caller": told("caller", say("nobody"))}
        case EntryKind.PRESSED_AGAIN:
            return say("SOS pressed again: the panel's new channel takes the place of the old one")
        case EntryKind.END:
            ended = outcome_words(data.get("outcome", ""), words)
            if data.get("by"):
                by = say(ENDERS[data["by"]]) if data["by"] in ENDERS else data["by"]
                return say("end: %(outcome)s, ended by %(by)s") % {"outcome": ended, "by": by}
            return say("end: %(outcome)s") % {"outcome": ended}


def decimal(value: float, words: NullTranslations = ENGLISH) -> str:
    """With one decimal, as the language writes it."""
    return f"{value:.1f}".replace(".", words.gettext("."))


def outcome_words(value: str, words: NullTranslations = ENGLISH) -> str:
    """How a call ended; of a version of this program that knows more, as it is."""
    try:
        return words.gettext(OUTCOMES[Outcome(value)])
    except ValueError:
        return value or words.gettext("unknown")


def sip_words(code: int, end: LegEnd | None, words: NullTranslations = ENGLISH) -> str:
    """What a SIP code of 300 or more says."""
    meaning = "never registered in time" if end is LegEnd.UNREACHABLE else SIP.get(code, "refused")
    return words.gettext(meaning)


def _found(entry: Entry, data: dict[str, str], words: NullTranslations) -> str:
    say = words.gettext
    address = data.get("address", "?")
    if "flat" not in data:
        return say("found: %(address)s") % {"address": address}
    parts = [say("found: %(address)s, flat %(flat)s") % {"address": address, "flat": data["flat"]}]
    if data.get("blocks"):
        parts.append(say(", blocked (%(blocks)s)") % {"blocks": data["blocks"]})
    if "accounts" in data:  # nobody is rung by a quality call
        accounts, phones = _number(data["accounts"]), _number(data.get("phones", "0"))
        ring = words.ngettext("%(n)s account", "%(n)s accounts", accounts) % {"n": accounts}
        wake = words.ngettext("%(n)s phone", "%(n)s phones", phones) % {"n": phones}
        parts.append(f": {ring}, {wake}")
    if entry.data.get("stale"):
        parts.append(say(" (from memory: the database is away)"))
    return "".join(parts)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _push(entry: Entry, data: dict[str, str], words: NullTranslations) -> str:
    say = words.gettext
    told = {
        "who": data.get("account") or "?",
        "push": say("cancel push") if data.get("push") == "cancel" else say("push"),
        "phone": data.get("phone", "?"),
    }
    match entry.kind:
        case EntryKind.PUSH_SENT:
            on = f" ({data['platform']})" if data.get("platform") else ""
            return say("%(who)s: %(push)s sent to phone %(phone)s") % told + on
        case EntryKind.PUSH_ACCEPTED:
            said = say("%(who)s: %(push)s accepted for phone %(phone)s") % told
            took = entry.data.get("took_ms")
            return said + (say(" after %(n)s ms") % {"n": f"{float(took):.0f}"} if took else "")
        case _:
            why = say(data.get("why") or "no reason given")
            return say("%(who)s: %(push)s refused for phone %(phone)s: %(why)s") % {**told, "why": why}


def _ended(record: CallRecord, entry: Entry, data: dict[str, str], words: NullTranslations) -> str:
    try:
        end = LegEnd(data.get("end", ""))
    except ValueError:
        end = LegEnd.LOST
    became = CANCELLED.get(record.outcome, ENDS[end]) if end is LegEnd.CANCELLED else ENDS[end]
    text = f"{data.get('account') or words.gettext('panel')}: {words.gettext(became)}"
    if end in OURS:
        return text
    sip, cause = entry.data.get("sip"), entry.data.get("cause")
    if sip and int(sip) >= 300:
        return f"{text} (SIP {int(sip)}: {sip_words(int(sip), end, words)})"
    if cause and end is not LegEnd.LOST:
        meaning = words.gettext(CAUSES.get(int(cause), "unknown"))
        return words.gettext("%(text)s (cause %(cause)s: %(meaning)s)") % {
            "text": text,
            "cause": int(cause),
            "meaning": meaning,
        }
    return text


def _after_invite_s(record: CallRecord, entry: Entry) -> float | None:
    """How long after its INVITE a phone rang that slept; None: it did not sleep."""
    leg = next((leg for leg in record.legs if leg.channel == entry.leg), None)
    if leg is None or leg.invited_at is None or entry.at - leg.invited_at < ASLEEP_S:
        return None
    return entry.at - leg.invited_at
