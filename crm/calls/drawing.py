"""A call as a drawing: a lane for the panel, each account and each of its phones; bars and marks over time, in pixels.

Pure: a page makes SVG of it. The ringing has a scale of its own where the talk is much longer, so that neither hides the
other. `words` are a gettext catalogue (see crm.calls.words).
"""

from __future__ import annotations

from collections.abc import Iterator
from gettext import NullTranslations

from attrs import evolve, frozen

from crm.calls.picture import ASLEEP_S, NOTES
from crm.calls.verdicts import is_dead, pushes
from crm.calls.words import ENGLISH, decimal, sentence, sip_words
from crm.columns import clean
from crm.values.records import CallRecord, Entry, EntryKind, LegEnd, LegRecord

AXIS, NOTE, LANE, TOP, EDGE = 760.0, 230.0, 34.0, 24.0, 8.0  # pixels
_RING_SHARE = 0.62  # of the axis, where the talk has a scale of its own
_LETTER = 7.2  # a letter's width, at most
_GAP, _MARK = 7.0, 13.0  # before a bar's text: at least, and behind a mark's middle
_TICK = 64.0  # between two ticks, at least
_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200)


@frozen
class Bar:
    """`kind` is a class of the style sheet: waiting, ringing, talking, pushing. `text` has room from `text_x` on."""

    x: float
    width: float
    kind: str
    text: str
    title: str
    text_x: float = 0.0


@frozen
class Mark:
    """`sign` stands at `x`; `kind` is its colour: fine, look, act, off."""

    x: float
    sign: str
    kind: str
    title: str


@frozen
class Lane:
    """A row: `label`, with what is said `beside` it; `note` stands behind its end. `y` is its middle."""

    y: float
    label: str
    beside: str
    is_phone: bool
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    note: str = ""
    note_x: float = 0.0
    note_kind: str = ""


@frozen
class Drawing:
    """`ticks` are places on the axis with their seconds; at `change_x` its scale changes (None: it does not)."""

    width: float
    height: float
    lanes: tuple[Lane, ...]
    ticks: tuple[tuple[float, str], ...]
    change_x: float | None


@frozen
class _Axis:
    """Where a time stands."""

    start: float
    last: float
    change: float | None  # where the scale changes

    def x(self, at: float) -> float:
        at = min(max(at, self.start), self.last)
        if self.change is None:
            return round(EDGE + (at - self.start) / (self.last - self.start) * (AXIS - 2 * EDGE), 1)
        middle = EDGE + (AXIS - 2 * EDGE) * _RING_SHARE
        if at <= self.change:
            return round(EDGE + (at - self.start) / (self.change - self.start) * (middle - EDGE), 1)
        return round(middle + (at - self.change) / (self.last - self.change) * (AXIS - EDGE - middle), 1)

    def ticks(self) -> Iterator[tuple[float, float]]:
        """Places, with their seconds."""
        parts = [(self.start, self.last if self.change is None else self.change)]
        if self.change is not None:
            parts.append((self.change, self.last))
        taken = -_TICK
        for since, until in parts:
            room, span = self.x(until) - self.x(since), until - since
            step = next((each for each in _STEPS_S if each / span * room >= _TICK), 7200)
            n = int((since - self.start) / step)
            while self.start + n * step <= until:
                at = self.start + n * step
                if at >= since and self.x(at) - taken >= _TICK / 2:
                    taken = self.x(at)
                    yield taken, round(n * step, 1)
                n += 1


def draw(record: CallRecord, words: NullTranslations = ENGLISH) -> Drawing:
    """The drawing of a call."""
    axis = _axis(record)
    lanes = [_panel(record, leg, axis, words) for leg in record.legs if leg.role == "panel"]
    called: list[str] = []
    for leg in record.legs:
        if leg.role != "panel":
            lanes.append(_called(record, leg, axis, words))
            if leg.account not in called:
                called.append(leg.account)
                lanes += [_phone(record, phone, axis, words) for phone in _phones(record, leg.account)]
    for account in dict.fromkeys(str(each.data.get("account", "")) for each in pushes(record)):
        if account not in called:
            lanes += [_phone(record, phone, axis, words) for phone in _phones(record, account)]
    placed = tuple(evolve(lane, y=TOP + LANE * (n + 0.5)) for n, lane in enumerate(lanes))
    seconds = words.gettext("%(n)s s")
    point = words.gettext(".")
    ticks = tuple((x, seconds % {"n": f"{s:g}".replace(".", point)}) for x, s in axis.ticks())
    change = None if axis.change is None else axis.x(axis.change)
    return Drawing(AXIS + NOTE, TOP + LANE * len(lanes) + 8, placed, ticks, change)


def _axis(record: CallRecord) -> _Axis:
    start = record.started_at
    times = [record.ended_at, record.answered_at, record.door_at, *(entry.at for entry in record.entries)]
    for leg in record.legs:
        times += [leg.invited_at, leg.ringing_at, leg.answered_at, leg.ended_at]
    last = max([start + 0.5, *(at for at in times if at is not None)])
    answered = record.answered_at
    if answered is not None and answered - start > 0.2 and last - answered > 1.5 * (answered - start):
        return _Axis(start, last, answered)
    return _Axis(start, last, None)


def _panel(record: CallRecord, leg: LegRecord, axis: _Axis, words: NullTranslations) -> Lane:
    say = words.gettext
    end = leg.ended_at or record.ended_at or axis.last
    begun = leg.invited_at or record.started_at
    answered = leg.answered_at or record.answered_at
    rang = any(each.role != "panel" for each in record.legs)
    bars = [
        _bar(axis, begun, answered or end, "ringing" if rang else "waiting", "ringing" if rang else "", words)
    ]
    if answered is not None:
        bars.append(_bar(axis, answered, end, "talking", "talking", words))
    marks = []
    for entry in record.entries:
        if entry.kind is EntryKind.DOOR:
            marks.append(Mark(axis.x(entry.at), "◆", "fine", _titled(record, entry, words)))
        elif entry.kind is EntryKind.DTMF:
            marks.append(Mark(axis.x(entry.at), "•", "off", _titled(record, entry, words)))
        elif entry.kind is EntryKind.PROMPT:
            marks.append(Mark(axis.x(entry.at), "♪", "off", _titled(record, entry, words)))
    note, kind = _note(leg, words)
    shown = _beside(bars, marks)
    return Lane(0, say("panel"), clean(record.panel), False, shown, tuple(marks), note, axis.x(end), kind)


def _called(record: CallRecord, leg: LegRecord, axis: _Axis, words: NullTranslations) -> Lane:
    begun = leg.invited_at if leg.invited_at is not None else record.started_at
    end = leg.ended_at or record.ended_at or axis.last
    ringing, answered = leg.ringing_at, leg.answered_at
    bars: list[Bar] = []
    marks: list[Mark] = []
    awake = ringing or answered or end
    if ringing is None or ringing - begun >= ASLEEP_S:
        asleep = leg.end is LegEnd.UNREACHABLE or awake - begun >= ASLEEP_S
        text = "asleep" if asleep and leg.role == "account" else "called"
        bars.append(_bar(axis, begun, awake, "waiting", text, words))
        if ringing is not None and leg.role == "account":
            marks.append(
                Mark(axis.x(ringing), "R", "look", words.gettext("it woke up, registered, and rings"))
            )
    elif ringing is not None:
        ringing = begun
    if ringing is not None:
        bars.append(_bar(axis, ringing, answered or end, "ringing", "ringing", words))
    if answered is not None:
        bars.append(_bar(axis, answered, end, "talking", "talking", words))
        marks.append(Mark(axis.x(answered), "✓", "fine", words.gettext("answered")))
    note, kind = _note(leg, words)
    roles = {"dispatch": "112", "duty": words.gettext("duty desk")}
    label = clean(leg.account) or roles.get(leg.role, "?")
    beside = roles.get(leg.role, "") if leg.account else ""
    return Lane(0, label, beside, False, _beside(bars, marks), tuple(marks), note, axis.x(end), kind)


def _phones(record: CallRecord, account: str) -> list[tuple[Entry | None, Entry | None]]:
    """What became of the push of each of an account's phones: when it was sent, and the answer."""
    found: dict[object, list[Entry | None]] = {}
    for each in pushes(record, account):
        pair = found.setdefault(each.data.get("phone"), [None, None])
        pair[0 if each.kind is EntryKind.PUSH_SENT else 1] = each
    return [(sent, answer) for sent, answer in found.values()]


def _phone(
    record: CallRecord,
    phone: tuple[Entry | None, Entry | None],
    axis: _Axis,
    words: NullTranslations,
) -> Lane:
    say = words.gettext
    sent, answer = phone
    first = sent or answer
    assert first is not None
    platform = clean(str((sent.data if sent else first.data).get("platform", "")))
    label = say("phone %(phone)s") % {"phone": clean(str(first.data.get("phone", "?")))}
    until = answer.at if answer is not None else (record.ended_at or axis.last)
    bars = (_bar(axis, first.at, until, "pushing", "", words),)
    marks = [Mark(axis.x(first.at), "▹", "off", _titled(record, first, words))]
    note, kind = say("push not answered"), "look"
    if answer is not None and answer.kind is EntryKind.PUSH_ACCEPTED:
        marks.append(Mark(axis.x(answer.at), "✓", "fine", _titled(record, answer, words)))
        note, kind = say("push accepted"), "fine"
    elif answer is not None:
        marks.append(Mark(axis.x(answer.at), "✕", "act", _titled(record, answer, words)))
        why = clean(str(answer.data.get("why") or say("no reason given")))
        refused = "push ✕ token dead (%(why)s)" if is_dead(why) else "push ✕ %(why)s"
        note, kind = say(refused) % {"why": why if is_dead(why) else say(why)}, "act"
    return Lane(0, label, platform, True, bars, tuple(marks), note, axis.x(until), kind)


def _bar(axis: _Axis, since: float, until: float, kind: str, text: str, words: NullTranslations) -> Bar:
    x, end = axis.x(since), axis.x(until)
    said = words.gettext(text) if text else ""
    took = words.gettext("%(n)s s") % {"n": decimal(max(0.0, until - since), words)}
    shown = said if len(said) * _LETTER < end - x - 14 else ""
    return Bar(x, round(max(end - x, 2.0), 1), kind, shown, f"{said}: {took}" if said else took)


def _beside(bars: list[Bar], marks: list[Mark]) -> tuple[Bar, ...]:
    """The bars, with their texts beside what marks stand at their beginnings; without one that has no room there."""
    shown = []
    for bar in bars:
        before = [mark.x for mark in marks if abs(mark.x - bar.x) < _MARK]
        text_x = max([bar.x + _GAP, *(x + _MARK for x in before)])
        has_room = text_x + len(bar.text) * _LETTER < bar.x + bar.width
        shown.append(evolve(bar, text_x=round(text_x, 1), text=bar.text if has_room else ""))
    return tuple(shown)


def _note(leg: LegRecord, words: NullTranslations) -> tuple[str, str]:
    """Why a leg ended, and the colour of that."""
    if leg.ended_at is None and leg.end is None:
        return "▸ " + words.gettext("goes on"), "off"
    note = words.gettext(NOTES[leg.end] if leg.end is not None else "ended")
    ours = leg.end in (LegEnd.ANSWERED_ELSEWHERE, LegEnd.CANCELLED)  # always 487, as we asked for
    code = leg.sip_code if leg.sip_code is not None and leg.sip_code >= 300 and not ours else None
    if code is not None and leg.end is LegEnd.FAILED:
        note = sip_words(code, leg.end, words)
    bad = (LegEnd.UNREACHABLE, LegEnd.FAILED, LegEnd.LOST)
    return f"✕ {code or ''} {note}".replace("  ", " "), "act" if leg.end in bad else "off"


def _titled(record: CallRecord, entry: Entry, words: NullTranslations) -> str:
    after = f"{entry.at - record.started_at:.2f}".replace(".", words.gettext("."))
    return f"{words.gettext('%(n)s s') % {'n': after}} · {sentence(record, entry, words)}"
