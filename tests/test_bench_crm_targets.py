"""The CRM's benchmark says which kinds of request are slow, and whether all of them together are in time."""

from __future__ import annotations

import pytest

from bench.crm import TARGET_MS, Group


def measured(**times: list[float]) -> Group:
    group = Group("page")
    for kind, took in times.items():
        for took_ms in took:
            group.add(kind, took_ms, 200)
    return group


def test_a_group_is_in_time_by_all_of_its_requests() -> None:
    assert measured(quick=[10.0] * 99, slow=[TARGET_MS * 5]).is_in_time()
    assert not measured(quick=[10.0] * 9, slow=[TARGET_MS * 5]).is_in_time()
    assert measured(quick=[TARGET_MS]).is_in_time()


def test_a_group_that_was_not_answered_is_not_in_time() -> None:
    group = Group("page")
    group.add("houses", 1.0, 404)
    assert not group.is_in_time()
    assert group.wrong == {"houses 404": 1}


def test_the_slowest_kinds_are_named_and_those_over_the_target(capsys: pytest.CaptureFixture[str]) -> None:
    measured(a=[20.0], b=[150.0], c=[120.0], d=[10.0], e=[11.0], f=[12.0]).show()
    *_, slowest, over = capsys.readouterr().out.splitlines()
    assert slowest == "  slowest: page [p95, ms]: b 150, c 120, a 20, f 12, e 11"
    assert over == "  over 100 ms: page: b 150, c 120"
