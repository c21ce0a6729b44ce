"""How values look."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from crm.web.show import Clock, decimal, duration

NOW = 1_780_000_000.0  # 28 May 2026, 20:26:40 UTC
CLOCK = Clock(NOW, ZoneInfo("Asia/Yekaterinburg"), "en")


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("", "01:26:40"),
        ("Asia/Yekaterinburg", "01:26:40"),
        ("Asia/Tashkent", "01:26:40"),  # another name, the same time
        ("Europe/Moscow", "23:26:40 UTC+3"),
        ("Asia/Kolkata", "01:56:40 UTC+5:30"),
        ("America/New_York", "16:26:40 UTC-4"),
        ("UTC", "20:26:40 UTC+0"),
    ],
)
def test_a_time_of_another_zone_says_which_one(zone: str, shown: str) -> None:
    assert CLOCK(NOW, zone) == shown


def test_a_zone_that_stands_beside_a_time_is_not_said_twice() -> None:
    assert CLOCK(NOW, "Europe/Moscow", named=True) == "23:26:40"


def test_durations_and_decimals_are_written_as_the_language_does() -> None:
    assert (duration(6.1), duration(6.1, "ru")) == ("6.1\u00a0s", "6,1\u00a0с")
    assert (duration(185), duration(3729, "ru")) == ("3:05", "1:02:09")
    assert (decimal(1.5, "en"), decimal(1.5, "ru")) == ("1.5", "1,5")
