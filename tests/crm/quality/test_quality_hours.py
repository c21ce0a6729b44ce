"""When flats may be called: by the clock of the house, in every time zone, when clocks change too."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm.values.quality import CallType, Campaign, Hours, date_from, days_from, hours_from, is_open, next_open

CHEL, BERLIN, CAIRO = "Asia/Yekaterinburg", "Europe/Berlin", "Africa/Cairo"
EVERY_DAY = frozenset(range(7))


def at(zone: str, *when: int, fold: int = 0) -> float:
    return datetime(*when, tzinfo=ZoneInfo(zone), fold=fold).timestamp()  # type: ignore[arg-type,misc]


def test_hours_are_those_of_the_house() -> None:
    hours = Hours(time(10), time(20))
    thursday = datetime(2026, 11, 26, 6, tzinfo=UTC).timestamp()  # 11:00 in Chelyabinsk, 7:00 in Berlin
    assert is_open(hours, thursday, CHEL)
    assert not is_open(hours, thursday, BERLIN)
    assert next_open(hours, thursday, CHEL) == thursday
    assert next_open(hours, thursday, BERLIN) == at(BERLIN, 2026, 11, 26, 10)


def test_the_end_is_outside_and_the_beginning_inside() -> None:
    hours = Hours(time(10), time(20))
    assert is_open(hours, at(CHEL, 2026, 11, 26, 10), CHEL)
    assert not is_open(hours, at(CHEL, 2026, 11, 26, 20), CHEL)
    assert next_open(hours, at(CHEL, 2026, 11, 26, 20), CHEL) == at(CHEL, 2026, 11, 27, 10)


def test_weekends_and_holidays_are_passed_over() -> None:
    hours = Hours(days=frozenset({3, 4}), holidays=frozenset({date(2026, 11, 27), date(2026, 12, 3)}))
    assert next_open(hours, at(CHEL, 2026, 11, 26, 20), CHEL) == at(CHEL, 2026, 12, 4, 10)


def test_a_beginning_that_the_clock_jumps_over_is_where_it_jumps_to() -> None:
    hours = Hours(time(2, 30), time(9), EVERY_DAY)
    assert next_open(hours, at(BERLIN, 2026, 3, 29, 0), BERLIN) == at(BERLIN, 2026, 3, 29, 3)
    midnight = Hours(time(0, 30), time(9), EVERY_DAY)  # in Cairo the clock jumps from 0:00 to 1:00
    assert next_open(midnight, at(CAIRO, 2026, 4, 23, 12), CAIRO) == at(CAIRO, 2026, 4, 24, 1)


def test_hours_that_the_clock_jumps_over_are_the_next_day() -> None:
    hours = Hours(time(2, 10), time(2, 50), EVERY_DAY)
    assert next_open(hours, at(BERLIN, 2026, 3, 29, 0), BERLIN) == at(BERLIN, 2026, 3, 30, 2, 10)


def test_an_hour_that_comes_twice_is_open_twice() -> None:
    hours = Hours(time(2), time(2, 45), EVERY_DAY)
    first, second = at(BERLIN, 2026, 10, 25, 2), at(BERLIN, 2026, 10, 25, 2, fold=1)
    assert second - first == 3600
    assert next_open(hours, at(BERLIN, 2026, 10, 25, 1), BERLIN) == first
    assert next_open(hours, at(BERLIN, 2026, 10, 25, 2, 50), BERLIN) == second


days = st.frozensets(st.integers(0, 6), min_size=1)
clocks = st.times(timezones=st.none()).map(lambda each: each.replace(second=0, microsecond=0))
spans = st.tuples(clocks, clocks).map(sorted).filter(lambda each: each[0] < each[1])
holidays = st.frozensets(st.dates(date(2026, 3, 1), date(2026, 4, 30)), max_size=20)
zones = st.sampled_from([CHEL, BERLIN, CAIRO, "America/New_York", "Australia/Lord_Howe", "UTC"])
moments = st.floats(at("UTC", 2026, 3, 1), at("UTC", 2026, 12, 1))


@settings(max_examples=150, deadline=None)
@given(
    span=spans,
    days=days,
    holidays=holidays,
    zone=zones,
    moment=moments,
    share=st.floats(0, 1, exclude_max=True),
)
def test_the_next_opening_is_open_and_nothing_before_it_is(
    span: list[time], days: frozenset[int], holidays: frozenset[date], zone: str, moment: float, share: float
) -> None:
    hours = Hours(span[0], span[1], days, holidays)
    opens = next_open(hours, moment, zone)
    assert opens >= moment
    assert is_open(hours, opens, zone)
    if opens > moment:
        assert not is_open(hours, moment, zone)
        for between in (
            moment + share * (opens - moment),
            max(moment, opens - 1),
            opens - 1e-3 * (opens - moment),
        ):
            assert between == opens or not is_open(hours, between, zone)


def test_hours_that_are_never_are_refused() -> None:
    for wrong in ((time(20), time(10)), (time(10), time(10))):
        with pytest.raises(ValueError, match="the end is not after the beginning"):
            Hours(*wrong)
    for days in (frozenset[int](), frozenset({7})):
        with pytest.raises(ValueError, match="0 \\(Monday\\) to 6"):
            Hours(days=days)


def test_a_campaign_without_sense_is_refused() -> None:
    for wrong in ({"attempts": 0}, {"per_house": 0}, {"spacing_s": -1.0}, {"kind": CallType.TEST}):
        with pytest.raises(ValueError):  # noqa: PT011 - what is wrong is what was given
            Campaign(name="x", **wrong)


def test_hours_days_and_dates_as_people_write_them() -> None:
    assert hours_from("9:30-20:00") == (time(9, 30), time(20))
    assert days_from("mon-fri") == frozenset(range(5))
    assert days_from("Mon,wed,sat-sun") == frozenset({0, 2, 5, 6})
    assert date_from("2026-12-31") == date(2026, 12, 31)
    for text in ("", "10-20", "20:00-10:00", "25:00-26:00", "10:00-20:00x"):
        with pytest.raises(ValueError, match="write 10:00-20:00"):
            hours_from(text)
    for text in ("", "fri-mon", "mo", "mon,"):
        with pytest.raises(ValueError, match="write mon-fri"):
            days_from(text)
    with pytest.raises(ValueError, match="write 2026-12-31"):
        date_from("31.12.2026")
