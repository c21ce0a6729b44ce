"""How values look: times, durations, numbers, a field's value. Filters of the templates."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from attrs import frozen
from babel.dates import format_date

from crm.desk.resource import Field, Kind
from crm.web.language import translations

BEYOND = "not yours to see"  # instead of the title of what somebody may not see


@frozen
class Clock:
    """The moment at which a page is made, in a zone and a language."""

    now: float
    zone: tzinfo
    language: str

    def __call__(self, at: float | None, zone: str = "", *, seconds: bool = True, named: bool = False) -> str:
        """A UTC time as people read it: "14:03:22" today, else with the date before; with its zone where that is not
        the page's own, and is not `named` beside it."""
        if at is None:
            return ""
        where = ZoneInfo(zone) if zone else self.zone
        try:
            moment = datetime.fromtimestamp(at, where)
            today = datetime.fromtimestamp(self.now, where).date()
        except (OverflowError, ValueError, OSError):
            return ""
        time = moment.strftime("%H:%M:%S" if seconds else "%H:%M")
        if zone and not named and moment.utcoffset() != datetime.fromtimestamp(at, self.zone).utcoffset():
            time += f" {offset_of(moment)}"
        if moment.date() == today:
            return time
        day = "d MMM" if moment.year == today.year else "d MMM y"
        return f"{format_date(moment, day, locale=self.language)} {time}"

    def iso(self, at: float | None) -> str:
        """For a <time>'s datetime attribute."""
        return "" if at is None else datetime.fromtimestamp(at, self.zone).isoformat(timespec="seconds")

    def field(self, at: float | None, zone: str = "") -> str:
        """For an input of type datetime-local."""
        if at is None:
            return ""
        where = ZoneInfo(zone) if zone else self.zone
        return datetime.fromtimestamp(at, where).strftime("%Y-%m-%dT%H:%M")


def offset_of(moment: datetime) -> str:
    """How far a time is before UTC: "UTC+3", "UTC+5:30"."""
    minutes = int((moment.utcoffset() or timedelta()).total_seconds()) // 60
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'-' if minutes < 0 else '+'}{hours}{f':{rest:02}' if rest else ''}"


def decimal(value: float, language: str) -> str:
    """With one decimal, as the language writes it: "1.5", "1,5"."""
    text = f"{value:.1f}"
    return text.replace(".", ",") if language == "ru" else text


def duration(seconds: float | None, language: str = "en") -> str:
    """ "6.1 s", "3:05", "1:02:09"."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{decimal(seconds, language)}\u00a0{translations(language).gettext('s')}"
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def number(value: float | None) -> str:
    """With thin spaces between thousands."""
    if value is None:
        return ""
    text = f"{value:,.10g}" if isinstance(value, float) and not value.is_integer() else f"{int(value):,}"
    return text.replace(",", "\u2009")


def mac(value: str) -> str:
    """ "18:68:82:31:0c:8a"."""
    return ":".join(value[n : n + 2] for n in range(0, len(value), 2)) if len(value) == 12 else value


def plain(field: Field, value: Any, shown: Mapping[str, str], clock: Clock) -> str:
    """A field's value as text, for a file."""
    if field.kind is Kind.REFERENCE:
        return shown.get(field.name, "") or ("" if value is None else str(value))
    if value is None:
        return ""
    match field.kind:
        case Kind.TIME:
            return clock.iso(value)
        case Kind.YES_NO:
            return "yes" if value else "no"
        case _:
            return str(value)


def worded(value: str, field: Field, language: str) -> str:
    """A text that its field has words for ("calls.view": "Calls: see calls")."""
    say = translations(language).gettext
    return field.words(value, say) if field.words else value


def browser(agent: str) -> str:
    """A User-Agent in short: "Firefox 128 · Linux". One that is no browser's stays as it is, cut."""
    name = re.search(r"(Edg|OPR|YaBrowser|Firefox|Chrome|Version)[A-Za-z]*/(\d+)", agent)
    if name is None:
        return agent[:60]
    system = re.search(r"Windows|Android|iPhone|iPad|Mac OS|Linux", agent)
    names = {"Edg": "Edge", "OPR": "Opera", "YaBrowser": "Yandex", "Version": "Safari"}
    browsers = [each for each in ("Edg", "OPR", "YaBrowser") if f"{each}/" in agent]
    found = re.search(rf"{browsers[0]}/(\d+)", agent) if browsers else None
    shown = f"{names[browsers[0]]} {found[1]}" if found else f"{names.get(name[1], name[1])} {name[2]}"
    return f"{shown} · {system[0]}" if system else shown


FILTERS: Mapping[str, Callable[..., Any]] = {
    "browser": browser,
    "number": number,
    "mac": mac,
}
