"""What people read of a call: every outcome, columns that line up, and nothing that moves the cursor."""

from __future__ import annotations

import json
from datetime import UTC

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm.calls.timeline import (
    WIDTH,
    as_json,
    entry_line,
    head_line,
    rang_s,
    show,
    summary_line,
    talked_s,
)
from crm.calls.words import sentence
from crm.columns import clean, fit, width_of
from crm.values.records import CallRecord, Entry, EntryKind, LegEnd, LegRecord, Outcome
from crm.web.language import translations

T = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC
E = EntryKind


def note(record: CallRecord, at: float, kind: EntryKind, leg: str = "", **data: str | float) -> None:
    record.entries.append(Entry(T + at, kind, leg, data))


def talk() -> CallRecord:
    """Four accounts: one sleeps, one answers, one never registers, one is busy; the door is opened."""
    record = CallRecord(
        "9f3a12cd34ef5678", "node1", "500001", "42", T, address="Челябинск, ул. Ленина 5, п. 2", flat="42"
    )
    record.legs = [
        LegRecord("panel", "panel", "", None, None, T + 6.1, T + 24.5, LegEnd.DROPPED, 16),
        LegRecord("a1", "account", "7351042", T, T + 3.4, None, T + 6.1, LegEnd.ANSWERED_ELSEWHERE, 26, 487),
        LegRecord("a2", "account", "7351043", T, T + 0.1, T + 6.1, T + 24.5, LegEnd.HUNG_UP, 16, 200),
        LegRecord("a3", "account", "7388001", T, None, None, T + 5.2, LegEnd.UNREACHABLE, 20, 480),
        LegRecord("a4", "account", "7388002", T, T + 0.1, None, T + 1.2, LegEnd.BUSY, 17, 486),
    ]
    record.answered_at, record.answered_by = T + 6.1, "7351043"
    record.door_at, record.ended_at, record.outcome = T + 19, T + 24.5, Outcome.TALKED
    note(record, 0, E.BUTTON, panel="500001", dialled="42")
    note(record, 0.01, E.FOUND, address=record.address, flat="42", accounts=4, phones=1)
    note(record, 0.02, E.PUSH_SENT, account="7351042", phone=7, platform="android", push="ring")
    note(record, 0.06, E.PUSH_ACCEPTED, account="7351042", phone=7, push="ring", took_ms=41.2)
    note(record, 0.09, E.PUSH_REFUSED, account="7388001", phone=9, push="ring", why="UNREGISTERED")
    note(record, 1.2, E.LEG_ENDED, "a4", account="7388002", end="busy", sip=486, cause=17)
    note(record, 3.4, E.RINGING, "a1", account="7351042")
    note(record, 5.2, E.LEG_ENDED, "a3", account="7388001", end="unreachable", sip=480, cause=20)
    note(record, 6.1, E.LEG_ENDED, "a1", account="7351042", end="answered_elsewhere", sip=487, cause=26)
    note(record, 19, E.DOOR, digit="5", by="7351043")
    note(record, 24.5, E.END, outcome="talked", by="7351043")
    return record


def row(record: CallRecord, label: str) -> str:
    return next(line for line in show(record, zone=UTC).splitlines() if line.startswith(label))


def test_the_summary_says_when_where_to_whom_and_what_came_of_it() -> None:
    assert summary_line(talk(), zone=UTC) == (
        "2026-09-21 14:13:20  9f3a12cd  Челябинск, ул. Ленина 5, п. 2 → flat 42 "
        "  talked 18.4 s, rang 6.0 s, 7351043"
    )


def test_the_picture_has_a_row_a_leg_with_why_it_ended() -> None:
    record = talk()

    assert "ringing" in row(record, "panel")
    assert row(record, "panel").endswith("✕ talk over")
    assert "push ✓ asleep╌" in row(record, "7351042 android")
    assert row(record, "7351042").endswith("✕ answered elsewhere")
    assert "┤talking─" in row(record, "7351043")
    assert row(record, "7351043").endswith("✕ hung up")
    assert row(record, "7388001").endswith("✕ 480 never registered, push: UNREGISTERED")
    assert row(record, "7388002").endswith("✕ 486 busy")
    assert row(record, "door").endswith("◆ 19.0s digit 5, 7351043")


def test_bars_of_one_moment_end_in_one_column() -> None:
    record = talk()

    answered = {row(record, label).index("┤talking") for label in ("panel", "7351043")}

    assert answered == {row(record, "7351042").index("✕")}
    assert {row(record, label).index("▕") for label in ("panel", "7351042", "7388002")} == {20}


def test_seconds_stand_over_what_happened_then() -> None:
    record = talk()
    ruler = next(line for line in show(record).splitlines() if line.lstrip().startswith("0s"))

    assert ruler.index("0s") == row(record, "panel").index("▕")
    assert abs(ruler.index("6s") - row(record, "panel").index("┤talking")) <= 1
    assert ruler.endswith("≈24.5s")


def test_below_the_picture_each_entry_is_a_sentence() -> None:
    text = show(talk(), zone=UTC)

    for said in (
        "    0.00 s  button: panel 500001 calls 42",
        "found: Челябинск, ул. Ленина 5, п. 2, flat 42: 4 accounts, 1 phone",
        "7351042: push sent to phone 7 (android)",
        "push accepted for phone 7 after 41 ms",
        "push refused for phone 9: UNREGISTERED",
        "7388002: is busy (SIP 486: the phone is busy)",
        "7351042: ringing 3.4 s after its INVITE: it slept until it registered",
        "7388001: never registered in time, so it never rang (SIP 480: never registered in time)",
        "7351042: stopped ringing: answered elsewhere",
        "door opened by 7351043 (digit 5)",
        "   24.50 s  end: talked, ended by 7351043",
    ):
        assert said in text, said


@pytest.mark.parametrize(
    ("kind", "data", "says"),
    [
        (E.FOUND, {"address": "a", "flat": "1", "accounts": 1, "phones": 0, "stale": 1}, "from memory"),
        (
            E.FOUND,
            {"address": "a", "flat": "1", "accounts": 1, "phones": 0, "blocks": "debt"},
            "blocked (debt)",
        ),
        (E.NOT_FOUND, {"why": "no such panel"}, "not found: no such panel"),
        (E.PUSH_SENT, {"account": "7", "phone": 1, "push": "cancel"}, "7: cancel push sent to phone 1"),
        (E.INVITE, {"account": "7"}, "7: INVITE sent"),
        (E.ANSWERED, {"account": "7"}, "7: answered"),
        (E.BRIDGED, {"account": "7"}, "7: talks with the visitor"),
        (E.LEG_ENDED, {"account": "7", "end": "declined", "sip": 603}, "7: declined (SIP 603: declined)"),
        (E.LEG_ENDED, {"account": "7", "end": "no_answer", "cause": 19}, "cause 19: rang, no answer"),
        (E.LEG_ENDED, {"account": "7", "end": "failed", "sip": 499}, "SIP 499: refused"),
        (E.LEG_ENDED, {"account": "7", "end": "cancelled", "sip": 487}, "cancelled: the visitor gave up"),
        (E.LEG_ENDED, {"account": "7", "end": "of another version"}, "nobody saw how"),
        (E.DTMF, {"digit": "5", "by": "panel"}, "panel: pressed 5"),
        (E.DOOR, {"digit": "5", "by": "auto-open"}, "auto-open is on"),
        (E.PROMPT, {"media": "sound:blocked"}, "the visitor hears sound:blocked"),
        (E.RECOVERED, {"how": "the talk goes on"}, "after a restart: the talk goes on"),
        (E.END, {"outcome": "of another version", "by": ""}, "end: of another version"),
    ],
)
def test_what_happened_is_said_in_plain_words(
    kind: EntryKind, data: dict[str, str | int | float], says: str
) -> None:
    assert says in sentence(talk(), Entry(T, kind, "", data))


@pytest.mark.parametrize("kind", EntryKind)
def test_an_entry_without_its_data_is_still_said(kind: EntryKind) -> None:
    assert sentence(talk(), Entry(T, kind))


@pytest.mark.parametrize("outcome", [*Outcome, None])
def test_every_outcome_has_a_line_and_a_picture(outcome: Outcome | None) -> None:
    record = CallRecord("id", "node1", "p1", "42", T, outcome=outcome)

    assert summary_line(record, zone=UTC).startswith("2026-09-21 14:13:20  id        panel p1 → dialled 42")
    assert show(record)


def test_a_call_that_goes_on_is_drawn_to_its_last_entry() -> None:
    record = talk()
    record.ended_at = record.outcome = record.door_at = None
    record.legs = record.legs[:1]
    record.legs[0].ended_at = record.legs[0].end = None

    assert summary_line(record).endswith("  goes on")
    assert row(record, "panel").endswith("▸")


def test_a_call_that_begins_is_headed_by_what_is_known() -> None:
    record = CallRecord("9f3a12cd34ef", "node1", "500001", "42", T)

    assert head_line(record, zone=UTC) == "14:13:20  call 9f3a12cd  panel 500001 → dialled 42"


def test_a_quality_call_is_headed_by_its_handset_and_rings_nobody() -> None:
    record = CallRecord("9f3a12cd34ef", "node1", "500001", "42", T, kind="quality", flat="42")
    record.address = "ул. Ленина 5, п. 1"
    note(record, 0, E.FOUND, address=record.address, flat="42")

    assert head_line(record, zone=UTC).endswith("ул. Ленина 5, п. 1 → handset of flat 42")
    assert entry_line(record, record.entries[0]).endswith("found: ул. Ленина 5, п. 1, flat 42")


def test_rang_and_talked_are_unknown_where_nothing_rang_or_talked() -> None:
    record = CallRecord("id", "node1", "p1", "42", T, ended_at=T + 1, outcome=Outcome.UNKNOWN_FLAT)

    assert (rang_s(record), talked_s(record)) == (None, None)
    assert (rang_s(talk()), talked_s(talk())) == (6.0, 18.4)


def test_json_has_the_record_the_durations_and_the_sentences() -> None:
    plain = json.loads(json.dumps(as_json(talk())))

    assert (plain["outcome"], plain["rang_s"], plain["talked_s"]) == ("talked", 6.0, 18.4)
    assert plain["legs"][3]["end"] == "unreachable"
    assert plain["entries"][0]["text"] == "button: panel 500001 calls 42"


def test_a_strangers_control_characters_are_shown_as_dots() -> None:
    record = CallRecord("id", "node1", "p\x1b[31m", "4\n2\u202e", T)
    note(record, 0, E.BUTTON, panel="p\x1b[31m", dialled="4\n2\u202e")

    for text in (
        summary_line(record),
        head_line(record),
        entry_line(record, record.entries[0]),
        show(record),
    ):
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert entry_line(record, record.entries[0]).endswith("panel p·[31m calls 4·2·")


@pytest.mark.parametrize(
    ("text", "width", "fitted"),
    [
        ("Ленина", 8, "Ленина  "),
        ("Ленина 5", 6, "Ленин…"),
        ("й" + "и\u0306", 3, "йи\u0306 "),
        ("門牌", 4, "門牌"),
        ("門牌號", 4, "門… "),
    ],
)
def test_text_is_measured_in_columns(text: str, width: int, fitted: str) -> None:
    assert fit(text, width) == fitted
    assert width_of(fit(text, width)) == width


_times = st.none() | st.floats(-2, 400, allow_nan=False).map(lambda s: T + s)
_texts = st.text(max_size=60)
_leg = st.builds(
    LegRecord,
    _texts,
    st.sampled_from(["panel", "account"]),
    _texts,
    _times,
    _times,
    _times,
    _times,
    st.none() | st.sampled_from(LegEnd),
    st.none() | st.integers(0, 127),
    st.none() | st.integers(100, 699),
)
_entry = st.builds(
    Entry,
    st.floats(T, T + 400),
    st.sampled_from(EntryKind),
    _texts,
    st.dictionaries(
        st.sampled_from(["account", "why", "push", "platform", "end", "outcome", "by", "address"]), _texts
    ),
)


@settings(deadline=None)
@given(
    st.builds(
        CallRecord,
        _texts,
        _texts,
        _texts,
        _texts,
        st.just(T),
        address=_texts,
        flat=_texts,
        answered_at=_times,
        answered_by=_texts,
        door_at=_times,
        ended_at=_times,
        outcome=st.none() | st.sampled_from(Outcome),
        legs=st.lists(_leg, max_size=5),
        entries=st.lists(_entry, max_size=8),
    )
)
def test_whatever_a_call_was_it_fits_into_its_columns(record: CallRecord) -> None:
    lines = [summary_line(record), head_line(record), *show(record).split("\n")]
    lines += [entry_line(record, entry) for entry in record.entries]

    for line in lines:
        assert width_of(line) <= WIDTH, line
        assert clean(line) == line
    json.dumps(as_json(record))


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Outcome.RING_TIMEOUT, "7351042: was cancelled: the ring time was over"),
        (Outcome.GAVE_UP, "7351042: was cancelled: the visitor gave up"),
        (Outcome.REPLACED, "7351042: was cancelled: the panel called again"),
        (Outcome.FAILED, "7351042: was cancelled: the visitor gave up, or the ring time was over"),
    ],
)
def test_a_cancelled_phone_says_why_as_far_as_the_call_tells(outcome: Outcome, said: str) -> None:
    record = talk()
    record.outcome = outcome
    entry = Entry(record.started_at + 30, EntryKind.LEG_ENDED, "", {"account": "7351042", "end": "cancelled"})

    assert sentence(record, entry) == said


def test_who_ended_a_call_is_said_in_words_unless_it_was_an_account() -> None:
    record = talk()

    def ended(by: str) -> str:
        entry = Entry(record.started_at, EntryKind.END, "", {"outcome": "talked", "by": by})
        return sentence(record, entry, translations("ru"))

    assert ended("panel") == "конец: поговорили, завершил панель"
    assert ended("limit").endswith("завершил предел времени")
    assert ended("7351042").endswith("завершил 7351042")
