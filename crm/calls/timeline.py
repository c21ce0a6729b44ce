"""A call for people: one line in a list, a picture of its legs over time, and each thing that happened in plain words.

Pure functions of a `CallRecord`; nothing is wider than 110 columns. A panel's and a phone's texts are strangers':
control characters in them are shown as "·". Clock times are those of `zone` (None: of this machine).
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Any

import msgspec

from crm.calls.picture import picture
from crm.calls.words import OUTCOMES, sentence
from crm.columns import clean, fit
from crm.values.records import CallRecord, Entry, Outcome

WIDTH = 110
_PLACE_WIDTH = 40


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
    words = "talked" if record.outcome is Outcome.TALKED else OUTCOMES[record.outcome]
    parts = [f"{words} {talked:.1f} s" if record.outcome is Outcome.TALKED and talked is not None else words]
    if rang is not None:
        parts.append(f"rang {rang:.1f} s")
    if record.answered_by:
        parts.append(clean(record.answered_by))
    return ", ".join(parts)


def _clock(at: float, zone: tzinfo | None, *, date: bool = False) -> str:
    return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S")
