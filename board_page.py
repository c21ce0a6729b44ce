"""The duty desk's page: what is on the board, as HTML to be read from across a room and on a phone.

No scripts and no foreign assets: the browser asks again every `REFRESH_S`. Everything on it is a stranger's text until it
is escaped; the policy in `HEADERS` allows the one style below and nothing else. Colour is for state, and never alone: red
is what needs an act, amber what waits, green a talk.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from enum import Enum, IntEnum
from html import escape

from board import Alarm, Board, Kind, Raised, Row, State

REFRESH_S = 2
ALARMS_SHOWN = 6  # more would push the calls off the screen
TESTS_SHOWN = 10


class Language(IntEnum):
    """Which of a text's two versions is meant."""

    EN = 0
    RU = 1


TEXTS: dict[Enum | str, tuple[str, str]] = {
    Kind.SOS: ("SOS", "SOS"),
    Kind.CALL_BACK: ("112 calls back", "112 перезванивает"),
    Kind.TEST: ("Test", "Проверка"),
    State.CALLING: ("Calling", "Вызов"),
    State.RINGING: ("Ringing", "Звонит"),
    State.BUSY: ("Busy", "Занято"),
    State.TALKING: ("Talking", "Разговор"),
    State.ENDED: ("Ended", "Завершён"),
    State.FAILED: ("Failed", "Не удался"),
    Alarm.POOL_LOW: ("Few numbers are left", "Осталось мало номеров"),
    Alarm.TRUNK_DOWN: ("A trunk to 112 is down", "Транк к 112 недоступен"),
    Alarm.CITY_UNKNOWN: ("The city is unknown", "Город неизвестен"),
    Alarm.GUARANTEE_BROKEN: ("A number was taken before its time", "Номер отдан раньше срока"),
    Alarm.CALL_FAILED: ("A 112 call failed", "Вызов 112 не удался"),
    Alarm.NO_NUMBER: ("There is no number to lend", "Нет номера для вызова"),
    Alarm.DATABASE_AWAY: ("The database is away", "База данных недоступна"),
    Alarm.TEST_FAILED: ("A test call failed", "Проверка не прошла"),
    "act": ("Act now", "Требует действий"),
    "look": ("Look at it", "Требует внимания"),
    "now": ("Calls now", "Вызовов сейчас"),
    "none": ("No calls now", "Сейчас вызовов нет"),
    "more": ("More alarms", "Ещё тревог"),
    "over": ("Ended", "Завершённые"),
    "tests": ("Test calls", "Проверки"),
    "no address": ("Address unknown", "Адрес неизвестен"),
    "since": ("since", "с"),
    "number": ("Number lent", "Номер"),
    "caller": ("From", "Откуда"),
    "panel": ("Panel", "Панель"),
    "began": ("Began", "Начало"),
    "lasted": ("Lasted", "Длительность"),
    "dispatch": ("Dispatch", "ЕДДС"),
    "recording": ("Recording", "Запись"),
    "node": ("Node", "Узел"),
    "note": ("Note", "Заметка"),
    "state": ("State", "Итог"),
    "place": ("Address", "Адрес"),
}
_ACT = frozenset(
    {Alarm.TRUNK_DOWN, Alarm.CALL_FAILED, Alarm.NO_NUMBER, Alarm.GUARANTEE_BROKEN, Alarm.DATABASE_AWAY}
)

_STYLE = """
:root { color-scheme: light dark; --page: #fafaf8; --ink: #16181b; --soft: #5b6168; --line: #dcdcd6;
  --red: #b3140c; --red-back: #b3140c; --amber: #8a5a00; --amber-bar: #e0a100; --amber-back: #fff3d1; --green: #14703a;
  --green-bar: #2c9a58; --grey-bar: #a7abb0; }
@media (prefers-color-scheme: dark) { :root { --page: #14161a; --ink: #ecedee; --soft: #a2a8af; --line: #2f3338;
  --red: #ff7a70; --red-back: #a31d14; --amber: #f0b93a; --amber-bar: #d99a00; --amber-back: #33290f; --green: #5fd08c;
  --green-bar: #3aa866; --grey-bar: #686e75; } }
* { box-sizing: border-box; margin: 0; }
body { background: var(--page); color: var(--ink); font: 1rem/1.4 system-ui, Roboto, "DejaVu Sans", sans-serif;
  font-variant-numeric: tabular-nums; padding: 1rem clamp(.9rem, 2.4vw, 2.5rem) 3rem; overflow-wrap: anywhere; }
header { display: flex; flex-wrap: wrap; gap: .2rem 1.25rem; align-items: baseline; margin-bottom: 1rem; }
h1 { font-size: 1.5rem; } header p { font-size: 1.5rem; } header time { margin-left: auto; color: var(--soft); }
ul { list-style: none; padding: 0; margin-bottom: 1.4rem; }
.alarm { border-radius: .4rem; padding: .8rem 1.1rem; margin-bottom: .6rem; font-size: 1.1rem; }
.alarm h2 { font-size: clamp(1.45rem, 2.8vw, 2.2rem); line-height: 1.2; }
.act { background: var(--red-back); color: #fff; } .look { background: var(--amber-back); }
.look { padding: .5rem 1.1rem; font-size: 1rem; } .look h2 { font-size: 1.3rem; }
.look h2, .look .sign { color: var(--amber); } .sign { font-weight: 600; }
.call { display: grid; grid-template-columns: minmax(13rem, 21%) 1fr; gap: .2rem 2rem; border-left: .6rem solid
  var(--amber-bar); padding: .3rem 0 .3rem 1.2rem; margin: 0 0 1.6rem; }
.call.talking { border-color: var(--green-bar); } .call.test { border-color: var(--grey-bar); }
.kind { font-size: 1.15rem; font-weight: 600; } .test .kind { color: var(--soft); }
.state { font-size: clamp(2rem, 3.5vw, 3.2rem); font-weight: 700; line-height: 1.1; color: var(--amber); }
.age { display: block; font-size: clamp(1.5rem, 2.4vw, 2.2rem); }
.talking .state { color: var(--green); } .test .state { color: var(--soft); }
.call h2 { font-size: clamp(1.55rem, 3vw, 2.7rem); line-height: 1.15; }
.where { font-size: clamp(1.2rem, 2vw, 1.7rem); }
.test .state, .test h2, .test .age { font-size: 1.4rem; } .test .where { font-size: 1.1rem; }
dl { display: flex; flex-wrap: wrap; gap: .5rem 2rem; margin-top: .7rem; }
dt, th { color: var(--soft); font-size: .85rem; font-weight: 400; } dd { font-size: 1.15rem; }
.quiet { color: var(--soft); } .none { font-size: 1.5rem; color: var(--soft); padding: 1.5rem 0 2rem; }
section h2.part { font-size: 1.1rem; margin: 1.8rem 0 .4rem; }
table { width: 100%; border-collapse: collapse; } th { text-align: left; }
th, td { padding: .45rem 1rem .45rem 0; vertical-align: top; border-bottom: 1px solid var(--line); }
th, td { white-space: nowrap; } td.wide { width: 99%; white-space: normal; }
.figure { text-align: right; } .failed { color: var(--red); font-weight: 700; }
@media (max-width: 46rem) {
  .call { display: block; padding-left: .8rem; } .state { display: flex; justify-content: space-between; gap: 1rem; }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem .9rem; } dl div { display: contents; }
  dt { padding-top: .25rem; }
  thead { display: none; } table, tbody { display: block; }
  tr { display: flex; flex-wrap: wrap; gap: 0 1rem; padding: .6rem 0; border-bottom: 1px solid var(--line); }
  td, td.figure { border: 0; padding: 0; text-align: left; white-space: normal; }
  td.wide { flex-basis: 100%; } td:empty { display: none; }
}
"""

_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    "Refresh": str(REFRESH_S),
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Language",
}


def language(accept: str) -> Language:
    """What a browser's Accept-Language likes better; English where it says neither."""
    best: dict[str, float] = {}
    for part in accept.split(","):
        tag, _, parameter = part.strip().lower().partition(";")
        try:
            weight = float(parameter.partition("q=")[2] or 1)
        except ValueError:
            continue
        name = tag.strip().partition("-")[0]
        best[name] = max(weight, best.get(name, 0.0))
    return Language.RU if best.get("ru", 0.0) > best.get("en", 0.0) else Language.EN


def page(board: Board, now: float, language: Language, zone: tzinfo | None = None) -> str:
    """The page as it is `now` (UTC, in seconds), with times in `zone` (None: this machine's)."""
    return _Page(now, language, zone).render(board.rows(), board.alarms())


class _Page:
    def __init__(self, now: float, language: Language, zone: tzinfo | None) -> None:
        self._now = now
        self._language = language
        self._zone = zone

    def render(self, rows: Sequence[Row], alarms: Sequence[Raised]) -> str:
        live = [row for row in rows if not row.is_over]
        over = [row for row in rows if row.is_over and row.kind is not Kind.TEST]
        tests = [row for row in rows if row.is_over and row.kind is Kind.TEST][:TESTS_SHOWN]
        real = sum(row.kind is not Kind.TEST for row in live)
        title = f"{'(!) ' if alarms else ''}{real or ''} 112".strip()
        calls = "".join(map(self._call, live)) or f'<p class="none">{self._text("none")}</p>'
        counted = f"<p>{self._text('now')}: {real}</p>" if real else ""
        return (
            f'<!doctype html>\n<html lang="{self._language.name.lower()}"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>"
            f"<header><h1>112</h1>{counted}<time>{self._clock()}</time></header>\n"
            f"{self._alarms(alarms)}<main>{calls}</main>\n"
            f"{self._table('over', over)}{self._table('tests', tests)}</body></html>\n"
        )

    def _text(self, key: Enum | str) -> str:
        return escape(TEXTS[key][self._language])

    def _time(self, at: float) -> str:
        """A time of today by its clock alone, any other with its date."""
        moment = datetime.fromtimestamp(at, UTC).astimezone(self._zone)
        today = datetime.fromtimestamp(self._now, UTC).astimezone(self._zone).date()
        return moment.strftime("%H:%M:%S" if moment.date() == today else "%d.%m.%Y %H:%M:%S")

    def _clock(self) -> str:
        moment = datetime.fromtimestamp(self._now, UTC).astimezone(self._zone)
        return f"{moment:%d.%m.%Y %H:%M:%S} {_offset(moment)}"

    # --- alarms ------------------------------------------------------------------------------

    def _alarms(self, alarms: Sequence[Raised]) -> str:
        if not alarms:
            return ""
        first = sorted(alarms, key=lambda alarm: alarm.kind not in _ACT)
        shown = "".join(map(self._alarm, first[:ALARMS_SHOWN]))
        more = len(alarms) - ALARMS_SHOWN
        rest = f'<li class="alarm look">{self._text("more")}: {more}</li>' if more > 0 else ""
        return f'<ul role="alert">{shown}{rest}</ul>\n'

    def _alarm(self, alarm: Raised) -> str:
        need = "act" if alarm.kind in _ACT else "look"
        sign = "■" if need == "act" else "▲"
        about = f": {escape(alarm.about)}" if alarm.about else ""
        repeated = f" · × {alarm.count}" if alarm.count > 1 else ""
        return (
            f'<li class="alarm {need}"><p class="sign">{sign} {self._text(need)}</p>'
            f"<h2>{self._text(alarm.kind)}{about}</h2><p>{escape(alarm.text)}</p>"
            f"<p>{self._text('since')} {self._time(alarm.since)} · {_age(self._now - alarm.since)}{repeated}</p></li>"
        )

    # --- calls -------------------------------------------------------------------------------

    def _call(self, row: Row) -> str:
        looks = "test" if row.kind is Kind.TEST else row.state.value
        facts = (
            ("number", escape(row.number)),
            ("caller", escape(row.caller)),
            ("panel", _joined(row.panel, row.domophone)),
            ("began", f"{self._time(row.started_at)} · {_age(self._now - row.started_at)}"),
            ("dispatch", _joined(row.dispatch, row.trunk)),
            ("recording", escape(row.recording)),
            ("node", escape(row.node)),
            ("note", escape(row.note)),
        )
        listed = "".join(
            f"<div><dt>{self._text(name)}</dt><dd>{value}</dd></div>" for name, value in facts if value
        )
        where = ", ".join(filter(None, (row.entrance, row.where)))
        return (
            f'<article class="call {looks}"><div><p class="kind">{self._text(row.kind)}</p>'
            f'<p class="state">{self._text(row.state)} <span class="age">{_age(self._now - row.at)}</span></p></div>'
            f'<div><h2>{self._address(row)}</h2><p class="where">{escape(where)}</p><dl>{listed}</dl></div></article>\n'
        )

    def _address(self, row: Row) -> str:
        return escape(row.address) or self._text("no address")

    def _table(self, name: str, rows: Sequence[Row]) -> str:
        if not rows:
            return ""
        heads = (
            ("began", ""),
            ("lasted", "figure"),
            ("state", ""),
            ("place", ""),
            ("number", ""),
            ("panel", ""),
        )
        head = "".join(f'<th class="{looks}">{self._text(key)}</th>' for key, looks in heads)
        return (
            f'<section><h2 class="part">{self._text(name)}</h2><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{''.join(map(self._line, rows))}</tbody></table></section>\n"
        )

    def _line(self, row: Row) -> str:
        looks = "failed" if row.state is State.FAILED else "quiet"
        kind = f"{self._text(row.kind)} · " if row.kind is Kind.CALL_BACK else ""
        where = ", ".join(filter(None, (row.entrance, row.where)))
        small = "".join(
            f'<br><span class="quiet">{escape(text)}</span>' for text in (row.note, row.recording) if text
        )
        return (
            f"<tr><td>{self._time(row.started_at)}</td>"
            f'<td class="figure">{_age(row.at - row.started_at)}</td>'
            f'<td class="{looks}">{self._text(row.state)}</td>'
            f'<td class="wide">{kind}{self._address(row)}{escape(where and f", {where}")}{small}</td>'
            f"<td>{escape(row.number)}</td><td>{_joined(row.panel, row.domophone)}</td></tr>\n"
        )


def _joined(*texts: str) -> str:
    return " · ".join(escape(text) for text in texts if text)


def _offset(moment: datetime) -> str:
    """The zone of times on the page, as UTC+3 or UTC+5:30."""
    offset = moment.utcoffset()
    minutes = round(offset.total_seconds() / 60) if offset else 0
    hours, rest = divmod(abs(minutes), 60)
    if not minutes:
        return "UTC"
    return f"UTC{'+' if minutes > 0 else '−'}{hours}{f':{rest:02}' if rest else ''}"


def _age(seconds: float) -> str:
    """A length of time as 0:42, 12:05 or 1:02:03; clocks of two machines may differ by a little."""
    minutes, left = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
