"""A call for people: one line in a list, a picture of its legs over time, and each thing that happened in plain words.

Pure functions of a `CallRecord`; nothing is wider than 110 columns. A panel's and a phone's texts are strangers':
control characters in them are shown as "·". Clock times are those of `zone` (None: of this machine).
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Any

import msgspec

from crm.columns import clean, fit
from crm.picture import ASLEEP_S, picture
from crm.records import CallRecord, Entry, EntryKind, LegEnd, Outcome

WIDTH = 110
_PLACE_WIDTH = 40

_OUTCOMES = {
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

_SIP = {
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

_CAUSES = {
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

_ENDS = {
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


_WHY = {
    "own_lease": "lent to this panel already",
    "free": "free, the longest unused",
    "expired": "kept for another panel, whose guarantee is over",
    "broken": "still guaranteed to another panel, as no other is left",
    "own_number": "the panel's own",
    "no number": "the pool has none",
}

# These codes say no more than that we, or this end, wanted it so.
_OURS = (LegEnd.HUNG_UP, LegEnd.DROPPED, LegEnd.CANCELLED, LegEnd.ANSWERED_ELSEWHERE)


def summary_line(record: CallRecord, *, zone: tzinfo | None = None) -> str:
    """One line of a list: when, id, from where to which flat, what came of it."""
    place = fit(_place(record), _PLACE_WIDTH)
    line = f"{_clock(record.started_at, zone, date=True)}  {clean(record.call_id)[:8]:8}  {place}  {_result(record)}"
    return fit(line, WIDTH).rstrip()


def head_line(record: CallRecord, *, zone: tzinfo | None = None) -> str:
    """The beginning of a call that goes on: when, id, and as much as is known of from where to whom."""
    return fit(
        f"{_clock(record.started_at, zone)}  call {clean(record.call_id)[:8]}  {_place(record)}", WIDTH
    ).rstrip()


def entry_line(record: CallRecord, entry: Entry) -> str:
    """One thing that happened: seconds since the button, and a sentence."""
    return fit(f"{entry.at - record.started_at:8.2f} s  {sentence(record, entry)}", WIDTH - 2).rstrip()


def show(record: CallRecord, *, zone: tzinfo | None = None) -> str:
    """The whole call: what it was, its legs as bars over seconds, and below them each thing that happened."""
    head = f"call {clean(record.call_id)}  {clean(record.kind)}  {_place(record)}"
    about = f"{_clock(record.started_at, zone, date=True)}, {_result(record)}"
    if record.door_at is not None:
        about += f", door opened {_clock(record.door_at, zone)}"
    if record.number:
        about += f", number {clean(record.number)}"
    about += f"  (panel {clean(record.panel)}, node {clean(record.node)})"
    lines = [fit(head, WIDTH).rstrip(), fit(about, WIDTH).rstrip()]
    if record.recording:
        lines.append(fit(f"recording: {clean(record.recording)}", WIDTH).rstrip())
    lines += ["", *picture(record, WIDTH), ""]
    lines += [entry_line(record, entry) for entry in record.entries]
    return "\n".join(lines)


def as_json(record: CallRecord) -> dict[str, Any]:
    """The record as plain values, with `rang_s` and `talked_s` (None where it did not) and a sentence an entry."""
    plain: dict[str, Any] = msgspec.to_builtins(record)
    plain["rang_s"], plain["talked_s"] = rang_s(record), talked_s(record)
    for entry, shown in zip(record.entries, plain["entries"], strict=True):
        shown["text"] = sentence(record, entry)
    return plain


def rang_s(record: CallRecord) -> float | None:
    """From the first ringing phone to the answer, or to the end [s]; None when none rang."""
    ringing = [leg.ringing_at for leg in record.legs if leg.role != "panel" and leg.ringing_at is not None]
    until = record.answered_at or record.ended_at
    return round(max(0.0, until - min(ringing)), 3) if ringing and until is not None else None


def talked_s(record: CallRecord) -> float | None:
    """From the answer to the end [s]; None when nobody answered or it goes on."""
    if record.answered_at is None or record.ended_at is None:
        return None
    return round(max(0.0, record.ended_at - record.answered_at), 3)


def sentence(record: CallRecord, entry: Entry) -> str:
    """What happened, in plain words."""
    data = {key: clean(str(value)) for key, value in entry.data.items()}
    who = data.get("account") or "?"
    match entry.kind:
        case EntryKind.BUTTON if record.kind == "test_ring":
            return f"{data.get('by') or 'somebody'}: ring this flat's phones, for a test"
        case EntryKind.BUTTON:
            return f"button: panel {data.get('panel', '?')} calls {data.get('dialled', '?')}"
        case EntryKind.FOUND:
            if "flat" not in data:
                return f"found: {data.get('address', '?')}"
            memory = " (from memory: the database is away)" if entry.data.get("stale") else ""
            blocked = f", blocked ({data['blocks']})" if data.get("blocks") else ""
            ring = f": {_count(data, 'accounts', 'account')}, {_count(data, 'phones', 'phone')}"
            ring = ring if "accounts" in data else ""  # nobody is rung by a quality call
            return f"found: {data.get('address', '?')}, flat {data.get('flat', '?')}{blocked}{ring}{memory}"
        case EntryKind.NOT_FOUND:
            return f"not found: {data.get('why', 'no reason given')}"
        case EntryKind.PUSH_SENT:
            on = f" ({data['platform']})" if data.get("platform") else ""
            return f"{who}: {_push(data)} sent to phone {data.get('phone', '?')}{on}"
        case EntryKind.PUSH_ACCEPTED:
            took = f" after {float(data['took_ms']):.0f} ms" if data.get("took_ms") else ""
            return f"{who}: {_push(data)} accepted for phone {data.get('phone', '?')}{took}"
        case EntryKind.PUSH_REFUSED:
            why = data.get("why") or "no reason given"
            return f"{who}: {_push(data)} refused for phone {data.get('phone', '?')}: {why}"
        case EntryKind.INVITE:
            return f"{who}: INVITE sent"
        case EntryKind.RINGING:
            return f"{who}: ringing{_after_invite(record, entry)}"
        case EntryKind.ANSWERED:
            return f"{who}: answered"
        case EntryKind.LEG_ENDED:
            return _ended(entry, data)
        case EntryKind.BRIDGED:
            return f"{who}: talks with the {'visitor' if record.kind == 'visitor' else 'other end'}"
        case EntryKind.DTMF:
            return f"{data.get('by', '?')}: pressed {data.get('digit', '?')}"
        case EntryKind.DOOR:
            if data.get("by") == "auto-open":
                return f"door opened by itself (digit {data.get('digit', '?')}): auto-open is on"
            return f"door opened by {data.get('by', '?')} (digit {data.get('digit', '?')})"
        case EntryKind.PROMPT:
            hearer = {"visitor": "visitor", "test_ring": "phone"}.get(record.kind, "panel")
            return f"the {hearer} hears {data.get('media', '?')}"
        case EntryKind.RECOVERED:
            return f"taken up again after a restart: {data.get('how', '?')}"
        case EntryKind.LENT:
            number = data.get("number") or "no number"
            return f"shows {number}: {_WHY.get(data.get('why', ''), data.get('why', '?'))}"
        case EntryKind.CALLED_BACK:
            whose = "a dispatch's number" if entry.data.get("known") else "a number that is no dispatch's"
            return f"call back to {data.get('number', '?')} from {data.get('caller') or 'nobody'}, {whose}"
        case EntryKind.PRESSED_AGAIN:
            return "SOS pressed again: the panel's new channel takes the place of the old one"
        case EntryKind.END:
            by = f", ended by {data['by']}" if data.get("by") else ""
            return f"end: {_outcome_words(data.get('outcome', ''))}{by}"


def _place(record: CallRecord) -> str:
    if record.kind == "test_ring":
        return f"test → {clean(record.address) or '?'}, flat {clean(record.flat) or record.flat_id}"
    if record.kind == "quality":
        return f"{clean(record.address) or f'panel {clean(record.panel)}'} → handset of flat {clean(record.flat)}"
    if record.kind != "visitor":
        way = (
            "112 calls back →"
            if record.kind == "call_back"
            else "112 test ←"
            if record.kind == "sos_test"
            else "112 ←"
        )
        return f"{way} {clean(record.address) or f'panel {clean(record.panel)}'}"
    start = clean(record.address) or f"panel {clean(record.panel)}"
    return (
        f"{start} → flat {clean(record.flat)}"
        if record.flat
        else f"{start} → dialled {clean(record.dialled)}"
    )


def _result(record: CallRecord) -> str:
    if record.outcome is None:
        return "goes on"
    talked, rang = talked_s(record), rang_s(record)
    words = "talked" if record.outcome is Outcome.TALKED else _OUTCOMES[record.outcome]
    parts = [f"{words} {talked:.1f} s" if record.outcome is Outcome.TALKED and talked is not None else words]
    if rang is not None:
        parts.append(f"rang {rang:.1f} s")
    if record.answered_by:
        parts.append(clean(record.answered_by))
    return ", ".join(parts)


def _outcome_words(value: str) -> str:
    try:
        return _OUTCOMES[Outcome(value)]
    except ValueError:
        return value or "unknown"


def _ended(entry: Entry, data: dict[str, str]) -> str:
    try:
        end = LegEnd(data.get("end", ""))
    except ValueError:
        end = LegEnd.LOST
    text = f"{data.get('account') or 'panel'}: {_ENDS[end]}"
    if end in _OURS:
        return text
    sip, cause = entry.data.get("sip"), entry.data.get("cause")
    if sip and int(sip) >= 300:
        meaning = "never registered in time" if end is LegEnd.UNREACHABLE else _SIP.get(int(sip), "refused")
        return f"{text} (SIP {int(sip)}: {meaning})"
    if cause and end is not LegEnd.LOST:
        return f"{text} (cause {int(cause)}: {_CAUSES.get(int(cause), 'unknown')})"
    return text


def _after_invite(record: CallRecord, entry: Entry) -> str:
    leg = next((leg for leg in record.legs if leg.channel == entry.leg), None)
    if leg is None or leg.invited_at is None or entry.at - leg.invited_at < ASLEEP_S:
        return ""
    return f" {entry.at - leg.invited_at:.1f} s after its INVITE: it slept until it registered, or was slow"


def _push(data: dict[str, str]) -> str:
    return "cancel push" if data.get("push") == "cancel" else "push"


def _count(data: dict[str, str], key: str, one: str) -> str:
    count = data.get(key, "?")
    return f"{count} {one}" if count == "1" else f"{count} {one}s"


def _clock(at: float, zone: tzinfo | None, *, date: bool = False) -> str:
    return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S")
