"""A call as a picture: a row for each leg, a bar over seconds, and beside it why it ended.

▕ its beginning   ╌ not ringing yet   ─ ringing, then talking   ┤ a change   ✕ its end   ▸ it goes on
"""

from __future__ import annotations

from crm.columns import clean, fit
from crm.values.records import CallRecord, EntryKind, LegEnd, LegRecord

ASLEEP_S = 1.0  # a phone that is registered rings sooner after its INVITE
_LABEL = 20
_NOTE = 28
_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)

NOTES = {
    LegEnd.HUNG_UP: "hung up",
    LegEnd.DROPPED: "talk over",
    LegEnd.CANCELLED: "cancelled",
    LegEnd.ANSWERED_ELSEWHERE: "answered elsewhere",
    LegEnd.BUSY: "busy",
    LegEnd.DECLINED: "declined",
    LegEnd.NO_ANSWER: "no answer",
    LegEnd.UNREACHABLE: "never registered",
    LegEnd.FAILED: "failed",
    LegEnd.LOST: "end not seen",
}


class _Row:
    """The cells of one row; times become columns."""

    def __init__(self, start: float, span_s: float, columns: int) -> None:
        self._start, self._span_s, self._columns = start, span_s, columns
        self.cells = [" "] * (columns + _NOTE)

    def column(self, at: float) -> int:
        return max(0, min(self._columns - 1, round((at - self._start) / self._span_s * (self._columns - 1))))

    def write(self, column: int, text: str) -> None:
        for n, c in enumerate(text):
            if column + n < len(self.cells):
                self.cells[column + n] = c

    def bar(self, since: float, until: float, mark: str, line: str, text: str) -> None:
        """From one time to another; as much of `text` as has room is written into it."""
        a, b = self.column(since), self.column(until)
        self.write(a, mark + line * (b - a - 1))
        words = text.split(" ")
        while words and len(" ".join(words)) > b - a - 1:
            words.pop()
        self.write(a + 1, " ".join(words))


def picture(record: CallRecord, width: int) -> list[str]:
    """The lines of the picture, none wider than `width`."""
    start = record.started_at
    times = [record.ended_at, record.answered_at, record.door_at, *(entry.at for entry in record.entries)]
    for leg in record.legs:
        times += [leg.invited_at, leg.ringing_at, leg.answered_at, leg.ended_at]
    last = max([start, *(at for at in times if at is not None)])
    whole_s, columns = max(last - start, 0.1), width - _LABEL - _NOTE
    span_s = whole_s
    if record.answered_at is not None:
        span_s = min(whole_s, max(4.0, 2 * (record.answered_at - start)))

    def row() -> _Row:
        return _Row(start, span_s, columns)

    ruler = row()
    _mark_seconds(ruler, start, span_s, whole_s, columns)
    lines = [" " * _LABEL + "".join(ruler.cells)]
    for leg in record.legs:
        cells = row()
        if leg.role == "panel":
            label = "panel"
            _panel(cells, record, leg, last)
        else:
            label = f"{clean(leg.account)} {_platforms(record, leg.account)}"
            _account(cells, record, leg, last)
        lines.append(fit(label, _LABEL - 1) + " " + "".join(cells.cells))
    if record.door_at is not None:
        cells = row()
        cells.write(cells.column(record.door_at), f"◆ {record.door_at - start:.1f}s {_door(record)}")
        lines.append(fit("door", _LABEL) + "".join(cells.cells))
    # A cell is a character, and a stranger's may be two columns wide.
    return [fit(line.rstrip(), width).rstrip() for line in lines]


def _mark_seconds(row: _Row, start: float, span_s: float, whole_s: float, columns: int) -> None:
    last = f"≈{whole_s:.1f}s" if whole_s > span_s else ""
    step = next((s for s in _STEPS_S if s / span_s * columns >= 8), span_s)
    n = 0
    while n * step <= span_s:
        label = f"{n * step:g}s"
        if row.column(start + n * step) + len(label) < columns - len(last):
            row.write(row.column(start + n * step), label)
        n += 1
    row.write(columns - 1, last)


def _panel(row: _Row, record: CallRecord, leg: LegRecord, last: float) -> None:
    end = leg.ended_at or record.ended_at or last
    answered = record.answered_at
    row.bar(record.started_at, answered or end, "▕", "─", "ringing" if _rang(record) else "")
    if answered is not None:
        row.bar(answered, end, "┤", "─", "talking")
    _end(row, leg, end, "")


def _account(row: _Row, record: CallRecord, leg: LegRecord, last: float) -> None:
    begin = leg.invited_at if leg.invited_at is not None else record.started_at
    end = leg.ended_at or record.ended_at or last
    push = _push(record, leg.account)
    mark = "▕"
    ringing, answered = leg.ringing_at, leg.answered_at
    awake = ringing or answered or end
    if ringing is None or ringing - begin >= ASLEEP_S:
        asleep = leg.end is LegEnd.UNREACHABLE or awake - begin >= ASLEEP_S
        row.bar(begin, awake, mark, "╌", f"{push} asleep".lstrip() if asleep else push)
        mark, push = "┤", ""
    else:
        ringing = begin
    if ringing is not None:
        text = f"REGISTER ringing {push}" if mark == "┤" else f"ringing {push}"
        row.bar(ringing, answered or end, mark, "─", text.rstrip())
    if answered is not None:
        row.bar(answered, end, "┤", "─", "talking")
    _end(row, leg, end, _push_refused(record, leg.account))


def _end(row: _Row, leg: LegRecord, end: float, more: str) -> None:
    at = row.column(end)
    if leg.ended_at is None and leg.end is None:
        row.write(at, "▸")
        return
    note = NOTES[leg.end] if leg.end is not None else "ended"
    code = f"{leg.sip_code} " if leg.sip_code is not None and leg.sip_code >= 300 else ""
    if leg.end in (LegEnd.ANSWERED_ELSEWHERE, LegEnd.CANCELLED):
        code = ""  # always 487, as we asked for
    note = f"✕ {code}{note}" + (f", {more}" if more else "")
    row.write(at, fit(note, min(len(row.cells) - at, len(note))))


def _rang(record: CallRecord) -> bool:
    return any(leg.role != "panel" for leg in record.legs)


def _pushes(record: CallRecord, account: str, *kinds: EntryKind) -> list[dict[str, str | int | float]]:
    return [
        entry.data
        for entry in record.entries
        if entry.kind in kinds and entry.data.get("account") == account and entry.data.get("push") != "cancel"
    ]


def _push(record: CallRecord, account: str) -> str:
    """ "push ✓✗": a mark for each of the account's phones; "…" for one without an answer."""
    accepted = len(_pushes(record, account, EntryKind.PUSH_ACCEPTED))
    refused = len(_pushes(record, account, EntryKind.PUSH_REFUSED))
    sent = len(_pushes(record, account, EntryKind.PUSH_SENT))
    marks = "✓" * accepted + "✗" * refused + "…" * (sent - accepted - refused)
    return f"push {marks}" if marks else ""


def _push_refused(record: CallRecord, account: str) -> str:
    refused = _pushes(record, account, EntryKind.PUSH_REFUSED)
    return f"push: {clean(str(refused[0].get('why', '')))}" if refused else ""


def _platforms(record: CallRecord, account: str) -> str:
    sent = _pushes(record, account, EntryKind.PUSH_SENT)
    return ", ".join(dict.fromkeys(clean(str(data["platform"])) for data in sent if data.get("platform")))


def _door(record: CallRecord) -> str:
    for entry in record.entries:
        if entry.kind is EntryKind.DOOR:
            return clean(f"digit {entry.data.get('digit', '?')}, {entry.data.get('by', '?')}")
    return "opened"
