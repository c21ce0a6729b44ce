"""The duty desk's page: every state in both languages, nothing of a stranger's text as markup, and the JSON."""

from __future__ import annotations

import re
from base64 import b64encode
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import pytest
from attrs import evolve, fields, frozen

from board import Alarm, Kind, Raised, Row, State, board_fields
from board_page import ALARMS_SHOWN, HEADERS, TESTS_SHOWN, TEXTS, Language, language, page

NOW = datetime(2026, 6, 2, 14, 3, 25, tzinfo=UTC).timestamp()
NASTY = """<script>alert(1)</script>'"><img src=x onerror=alert(1)> & Co"""


@frozen
class Shown:
    """A board that shows this."""

    _rows: tuple[Row, ...] = ()
    _alarms: tuple[Raised, ...] = ()

    def rows(self) -> tuple[Row, ...]:
        return self._rows

    def alarms(self) -> tuple[Raised, ...]:
        return self._alarms


ROW = Row(
    call_id="9f3a",
    kind=Kind.SOS,
    state=State.TALKING,
    at=NOW - 42,
    started_at=NOW - 65,
    panel="panel-004127",
    domophone="08:13:cd:00:1a:2f",
    address="Копейск, пр. Победы, 11А",
    entrance="подъезд 1",
    where="калитка",
    number="+73513912345",
    dispatch="kopeysk",
    trunk="edds-1",
    recording="sos/9f3a.wav",
    node="node1",
)
ALARM = Raised(kind=Alarm.TRUNK_DOWN, about="edds-1", text="503", since=NOW - 143, at=NOW, count=3)


class Reader(HTMLParser):
    """What a browser makes of a page: its tags, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.said: list[str] = []
        self._stack: list[str] = []
        self.feed(text)
        self.close()
        assert self._stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on") or name in ("src", "href", "style")]
        if tag not in ("meta", "br"):
            self._stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._stack and self._stack[-1] != "style":
            self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())


def read(*rows: Row, alarms: tuple[Raised, ...] = (), lang: Language = Language.EN) -> str:
    return Reader(page(Shown(rows, alarms), NOW, lang, UTC)).text


def test_a_live_call_says_all_that_the_dispatch_may_ask() -> None:
    said = read(ROW)
    for part in (
        "Calls now: 1",
        "Talking 0:42",
        "Копейск, пр. Победы, 11А",
        "подъезд 1, калитка",
        "panel-004127 · 08:13:cd:00:1a:2f",
        "Number lent +73513912345",
        "Began 14:02:20 · 1:05",
        "kopeysk · edds-1",
        "Recording sos/9f3a.wav",
        "02.06.2026 14:03:25 UTC",
    ):
        assert part in said


@pytest.mark.parametrize("lang", list(Language))
@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("state", list(State))
def test_every_state_of_every_kind_is_said_in_both_languages(
    state: State, kind: Kind, lang: Language
) -> None:
    said = read(evolve(ROW, state=state, kind=kind), lang=lang)
    assert TEXTS[state][lang] in said
    assert kind is not Kind.CALL_BACK or TEXTS[kind][lang] in said


@pytest.mark.parametrize("lang", list(Language))
@pytest.mark.parametrize("kind", list(Alarm))
def test_every_alarm_is_said_above_the_calls_with_how_long_it_has_lasted(kind: Alarm, lang: Language) -> None:
    said = read(ROW, alarms=(evolve(ALARM, kind=kind),), lang=lang)
    assert f"{TEXTS[kind][lang]}: edds-1 503" in said
    assert "14:01:02 · 2:23 · × 3" in said
    assert said.index("edds-1 503") < said.index(ROW.address)


def test_no_text_is_missing_in_either_language() -> None:
    assert all(english and russian for english, russian in TEXTS.values())
    assert not [english for english, _ in TEXTS.values() if re.search("[а-яё]", english.lower())]
    assert {*Kind, *State, *Alarm} <= set(TEXTS)


def test_no_strangers_text_becomes_markup() -> None:
    texts: dict[str, Any] = {field.name: NASTY for field in fields(Row) if field.type in (str, "str")}
    nasty = (
        evolve(ROW, **texts),
        evolve(ROW, **texts, state=State.FAILED),
        evolve(ROW, **texts, kind=Kind.TEST),
    )
    alarm = evolve(ALARM, about=NASTY, text=NASTY)
    reader = Reader(page(Shown(nasty, (alarm,)), NOW, Language.RU, UTC))
    assert not {"script", "img"} & set(reader.tags)
    assert reader.text.count("alert(1)</script>") > 20


def test_what_is_not_known_is_said_so_or_left_out() -> None:
    bare = Row(call_id="1", kind=Kind.CALL_BACK, state=State.RINGING, at=NOW, started_at=NOW)
    said = read(bare)
    assert "Address unknown" in said
    assert "Number lent" not in said
    assert "Recording" not in said


def test_a_quiet_board_says_that_there_are_no_calls() -> None:
    assert read() == "112 112 02.06.2026 14:03:25 UTC No calls now"
    assert "Сейчас вызовов нет" in read(lang=Language.RU)


def test_calls_that_are_over_stand_below_with_why_and_of_tests_only_the_last() -> None:
    over = evolve(
        ROW, call_id="over", state=State.FAILED, at=NOW - 90_000, started_at=NOW - 90_060, note="486"
    )
    tests = [
        evolve(ROW, kind=Kind.TEST, state=State.ENDED, panel=f"test{number}", at=NOW)
        for number in range(TESTS_SHOWN + 5)
    ]
    said = read(ROW, over, *tests)
    assert "01.06.2026 13:02:25 1:00 Failed" in said
    assert "486" in said
    assert said.index("Talking") < said.index("Failed") < said.index("test0")
    assert f"test{TESTS_SHOWN - 1}" in said
    assert f"test{TESTS_SHOWN}" not in said
    assert "Calls now: 1" in said


def test_many_alarms_leave_room_for_the_calls_and_those_that_need_an_act_come_first() -> None:
    many = tuple(evolve(ALARM, kind=Alarm.POOL_LOW, about=f"city{number}") for number in range(20))
    said = read(ROW, alarms=(*many, ALARM))
    assert said.index("A trunk to 112 is down") < said.index("Few numbers are left")
    assert f"More alarms: {21 - ALARMS_SHOWN}" in said


def test_red_is_kept_for_what_needs_an_act() -> None:
    calm = page(Shown((ROW,), (evolve(ALARM, kind=Alarm.POOL_LOW),)), NOW, Language.EN, UTC)
    assert 'class="alarm act"' not in calm
    assert 'class="alarm act"' in page(Shown((), (ALARM,)), NOW, Language.EN, UTC)


def test_times_are_those_of_the_zone_which_is_named() -> None:
    text = page(Shown((ROW,)), NOW, Language.EN, timezone(timedelta(hours=5, minutes=30)))
    assert "02.06.2026 19:33:25 UTC+5:30" in text
    assert "19:32:20" in text


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("ru-RU,ru;q=0.9,en-US;q=0.8,en;q=0.7", Language.RU),
        ("en-US,en;q=0.9,ru;q=0.8", Language.EN),
        ("en;q=0.5, RU ; q=0.6", Language.RU),
        ("de,ru;q=0.1", Language.RU),
        ("de", Language.EN),
        ("*", Language.EN),
        ("", Language.EN),
        ("ru;q=x,;;,=", Language.EN),
    ],
)
def test_the_language_is_the_browsers(accept: str, expected: Language) -> None:
    assert language(accept) is expected


def test_the_policy_allows_the_pages_own_style_and_nothing_else() -> None:
    text = page(Shown((ROW,), (ALARM,)), NOW, Language.EN, UTC)
    (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert HEADERS["Content-Security-Policy"].startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert "url(" not in style
    assert "@import" not in style


def test_the_json_has_every_field_and_times_for_machines() -> None:
    said = board_fields(Shown((ROW,), (ALARM,)), NOW)
    assert said["at"] == "2026-06-02T14:03:25.000+00:00"
    (call,) = said["calls"]
    assert set(call) == {field.name for field in fields(Row)}
    assert (call["kind"], call["state"], call["at"]) == ("sos", "talking", "2026-06-02T14:02:43.000+00:00")
    (alarm,) = said["alarms"]
    assert (alarm["kind"], alarm["about"], alarm["count"]) == ("trunk_down", "edds-1", 3)
    assert alarm["since"] == "2026-06-02T14:01:02.000+00:00"
