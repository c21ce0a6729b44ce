"""Weekly codes: which Monday is due through changes of the clock, and what makes a code."""

from __future__ import annotations

import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

import config
from config import CodesConfig, ConfigError
from crm.companies.codes import NoCodesLeft, choose_code, due_week, is_trivial, next_week

MOSCOW = CodesConfig()
ZONES = (
    "Europe/Moscow",
    "Europe/Berlin",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Asia/Kamchatka",
    "UTC",
)
MOMENTS = st.floats(min_value=946_684_800.0, max_value=2_524_608_000.0)  # 2000 to 2050
SETTINGS = st.builds(
    CodesConfig,
    at=st.times().map(lambda each: each.strftime("%H:%M")),
    time_zone=st.sampled_from(ZONES),
)


def at(text: str, zone: str = "Europe/Moscow") -> float:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("now", "week"),
    [
        ("2026-11-23 04:59:59", "2026-11-16"),
        ("2026-11-23 05:00:00", "2026-11-23"),
        ("2026-11-25 12:00:00", "2026-11-23"),
        ("2026-11-29 23:59:59", "2026-11-23"),
        ("2026-11-30 05:00:00", "2026-11-30"),
        ("2027-01-01 00:00:00", "2026-12-28"),
    ],
)
def test_a_week_is_due_from_monday_at_five(now: str, week: str) -> None:
    due = due_week(at(now), MOSCOW)
    assert due is not None
    assert due.name == week
    assert due.due_at == at(f"{week} 05:00:00")


def test_a_week_of_which_codes_were_made_is_due_no_more() -> None:
    now = at("2026-11-25 12:00")
    assert due_week(now, MOSCOW, "2026-11-23") is None
    assert due_week(now, MOSCOW, "2026-11-30") is None  # the clock was ahead
    assert due_week(now, MOSCOW, "2026-11-16") is not None


def test_of_several_missed_mondays_the_newest_is_made_up() -> None:
    due = due_week(at("2026-11-25 12:00"), MOSCOW, "2026-10-26")
    assert due is not None
    assert due.name == "2026-11-23"


def test_the_zone_decides_when_it_is_monday() -> None:
    now = at("2026-11-23 05:00", "Asia/Kamchatka")  # Sunday evening in Moscow
    east = due_week(now, CodesConfig(time_zone="Asia/Kamchatka"))
    west = due_week(now, MOSCOW)
    assert east is not None
    assert west is not None
    assert (east.name, west.name) == ("2026-11-23", "2026-11-16")


@pytest.mark.parametrize(
    ("monday", "zone", "hour", "utc_hour"),
    [
        ("2026-03-30", "Europe/Berlin", "05:00", 3),  # the day after clocks went forward
        ("2026-03-23", "Europe/Berlin", "05:00", 4),
        ("2026-10-26", "Europe/Berlin", "05:00", 4),  # the day after they went back
        ("2026-10-19", "Europe/Berlin", "05:00", 3),
        ("2014-10-27", "Europe/Moscow", "05:00", 2),  # the day after Moscow's last change
        ("2014-10-20", "Europe/Moscow", "05:00", 1),
    ],
)
def test_five_is_five_on_the_wall_before_and_after_clocks_change(
    monday: str, zone: str, hour: str, utc_hour: int
) -> None:
    settings = CodesConfig(at=hour, time_zone=zone)
    due = due_week(at(f"{monday} 12:00", zone), settings)
    assert due is not None
    assert due.name == monday
    assert datetime.datetime.fromtimestamp(due.due_at, datetime.UTC).hour == utc_hour


def test_a_time_that_a_monday_leaves_out_is_due_an_hour_later_on_the_clock() -> None:
    zone = "Europe/Istanbul"  # where clocks went from 3:00 to 4:00 on Monday, 28 March 2011
    settings = CodesConfig(at="03:30", time_zone=zone)
    week = next_week(at("2011-03-28 02:59", zone), settings)
    assert week.name == "2011-03-28"
    assert week.due_at == at("2011-03-28 04:30", zone)


def test_a_time_that_a_monday_has_twice_is_due_once_the_first_time() -> None:
    zone = "Africa/Cairo"  # where clocks went from 3:00 back to 2:00 on Monday, 1 October 1990
    settings = CodesConfig(at="02:30", time_zone=zone)
    first = next_week(at("1990-10-01 01:59", zone), settings)
    assert first.name == "1990-10-01"
    assert first.due_at == at("1990-10-01 01:30", zone) + 3600
    assert due_week(first.due_at + 3600, settings, first.name) is None
    assert next_week(first.due_at, settings).name == "1990-10-08"


@given(now=MOMENTS, settings=SETTINGS)
def test_exactly_one_week_holds_at_any_moment(now: float, settings: CodesConfig) -> None:
    due, following = due_week(now, settings), next_week(now, settings)
    assert due is not None
    assert due.due_at <= now < following.due_at
    assert datetime.date.fromisoformat(due.name).weekday() == 0
    first, second = (datetime.date.fromisoformat(each.name) for each in (due, following))
    assert second - first == datetime.timedelta(days=7)
    assert due_week(following.due_at, settings) == following
    assert due_week(now, settings, due.name) is None


@pytest.mark.parametrize(
    "code", ["11111", "12345", "98765", "67890", "13579", "24680", "12121", "55155", "90123"]
)
def test_a_code_that_anybody_tries_first_is_trivial(code: str) -> None:
    assert is_trivial(code)


@pytest.mark.parametrize("code", ["12346", "48213", "90909012", "71724"])
def test_others_are_not(code: str) -> None:
    assert not is_trivial(code)


@given(digits=st.integers(5, 8))
def test_a_code_has_its_length_and_no_zero_in_front(digits: int) -> None:
    code = choose_code(digits, ())
    assert len(code) == digits
    assert code.isdecimal()
    assert code[0] != "0"
    assert not is_trivial(code)


def test_a_code_that_is_taken_is_not_chosen() -> None:
    free = {"48213", "71724", "90517", "33871"}
    taken = {str(each) for each in range(10_000, 100_000)} - free - {str(n) for n in range(20_000, 30_000)}
    for _ in range(50):
        assert choose_code(5, taken) not in taken


def test_no_code_left_says_what_to_do() -> None:
    with pytest.raises(NoCodesLeft, match=r"\[codes\] digits higher"):
        choose_code(5, {str(each) for each in range(10_000, 100_000)})


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            '[codes]\ntime_zone = "Europe/Moskau"',
            '[codes] time_zone = "Europe/Moskau": a time zone like "Europe/Moscow"',
        ),
        ('[codes]\nat = "5:00"', '[codes] at = "5:00": a time of day like "05:00"'),
        ('[codes]\nat = "24:00"', '[codes] at = "24:00": a time of day like "05:00"'),
        ("[codes]\ndigits = 4", "[codes] digits = 4: a whole number of digits from 5 to 8"),
        (
            "[billing]\nretry_s = 600\nretry_max_s = 60",
            "[billing] retry_s = 600: at most retry_max_s, which is 60,",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        config.load(tmp_path / "config.toml", {})
    assert refused.value.lines == [f"{tmp_path}/config.toml:2: {error} is expected"]
