"""The duty desk: what is told, once, in which order, and what stays on the board."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing
from attrs import evolve
from structlog.testing import capture_logs
from trio.testing import MockClock

from actors import duty_desk
from actors.duty_desk import ALARMS_MAX, KEEP_OVER, KEEP_S, Alarm, DutyDesk, Kind, Row, State
from config import DutyConfig
from said import Says, said
from tests.actors.duty_gateway import HANG, DutyGateway, open_duty


def row(call: str = "c1", state: State = State.CALLING, at: float = 1_000.0, kind: Kind = Kind.SOS) -> Row:
    return Row(
        call_id=call,
        kind=kind,
        state=state,
        at=at,
        started_at=1_000.0,
        panel="panel1",
        domophone="aabbccddeeff",
        address="Тула, ул. Мира, 5",
        entrance="подъезд 2",
        number="+74872331122",
        dispatch="tula",
        trunk="edds-tula-1",
    )


def quiet() -> DutyDesk:
    """A desk without webhooks."""
    return DutyDesk(DutyConfig(), "node1")


def calls(desk: DutyDesk) -> list[tuple[str, State]]:
    return [(each.call_id, each.state) for each in desk.rows()]


# --- calls ---------------------------------------------------------------------------------------


async def test_each_state_of_a_call_replaces_the_one_before_and_is_one_line_in_the_log() -> None:
    desk = quiet()
    with capture_logs() as logs:
        for at, state in enumerate((State.CALLING, State.RINGING, State.BUSY, State.FAILED)):
            desk.show(evolve(row(state=state, at=1_000.0 + at), note="486" if state is State.FAILED else ""))
    assert calls(desk) == [("c1", State.FAILED)]
    assert [(line["state"], line["log_level"]) for line in logs] == [
        ("calling", "info"),
        ("ringing", "info"),
        ("busy", "info"),
        ("failed", "warning"),
    ]
    assert (logs[0]["call"], logs[0]["address"], logs[3]["note"]) == ("c1", "Тула, ул. Мира, 5", "486")
    assert desk.rows()[0].node == "node1"


async def test_what_is_on_the_board_already_is_not_told_again_and_what_changes_in_a_state_is() -> None:
    desk = quiet()
    with capture_logs() as logs:
        desk.show(row(at=1_000.0))
        desk.show(row(at=1_007.0))
        assert desk.rows()[0].at == 1_000.0
        desk.show(evolve(row(at=1_000.0), trunk="edds-tula-2"))
    assert [line["trunk"] for line in logs] == ["edds-tula-1", "edds-tula-2"]


async def test_live_calls_come_first_then_the_newest_and_tests_below_real_ones() -> None:
    desk = quiet()
    desk.show(row("over1", State.ENDED, 1_100.0))
    desk.show(row("test", State.TALKING, kind=Kind.TEST))
    desk.show(row("live1", State.TALKING, 1_090.0))
    desk.show(row("over2", State.FAILED, 1_200.0))
    desk.show(row("over-test", State.ENDED, 1_300.0, kind=Kind.TEST))
    desk.show(evolve(row("live2", State.RINGING, 1_080.0), started_at=1_080.0))
    assert [each.call_id for each in desk.rows()] == ["live2", "live1", "test", "over2", "over1", "over-test"]


async def test_the_last_calls_stay_and_tests_push_no_real_one_off_the_board() -> None:
    desk = quiet()
    desk.show(row("live"))
    for number in range(KEEP_OVER + 5):
        desk.show(row(f"c{number}", State.ENDED, 1_000.0 + number))
        for test in range(2):
            desk.show(row(f"t{number}-{test}", State.ENDED, 1_000.0 + number, Kind.TEST))
    shown = [each.call_id for each in desk.rows()]
    assert len(shown) == 1 + 2 * KEEP_OVER
    assert shown[:2] == ["live", f"c{KEEP_OVER + 4}"]
    assert "c5" in shown
    assert "c4" not in shown


async def test_a_day_later_the_board_is_empty_and_an_end_that_nobody_told_is_said(
    autojump_clock: MockClock,
) -> None:
    desk = quiet()
    desk.show(row("over", State.ENDED))
    desk.show(row("forgotten", State.TALKING))
    await trio.sleep(KEEP_S - 1)
    assert len(desk.rows()) == 2
    await trio.sleep(1)
    with capture_logs() as logs:
        assert desk.rows() == []
    assert [(line["call"], line["log_level"]) for line in logs] == [("forgotten", "warning")]


async def test_what_a_stranger_wrote_is_cleaned() -> None:
    desk = quiet()
    desk.show(evolve(row(), caller="\x1b[2Jевил\n\u202e112\ud800" + "9" * 1_000))
    shown = desk.rows()[0].caller
    assert shown.startswith("[2Jевил  112 999")
    assert len(shown) < 500


# --- alarms --------------------------------------------------------------------------------------


async def test_an_alarm_is_told_once_until_it_is_over(autojump_clock: MockClock) -> None:
    desk = quiet()
    with capture_logs() as logs:
        desk.alarm(Alarm.TRUNK_DOWN, "edds-1", "no answer")
        await trio.sleep(10)
        desk.alarm(Alarm.TRUNK_DOWN, "edds-1", "503")
        desk.alarm(Alarm.TRUNK_DOWN, "edds-2", "486")
        (second, first) = desk.alarms()
        await trio.sleep(20)
        desk.over(Alarm.TRUNK_DOWN, "edds-1", "it answers")
        desk.over(Alarm.TRUNK_DOWN, "edds-1")
        desk.over(Alarm.POOL_LOW, "tula")
    assert (first.about, first.text, first.count) == ("edds-1", "503", 2)
    assert (second.about, second.text, second.count) == ("edds-2", "486", 1)
    assert [(line["about"], line["log_level"]) for line in logs] == [
        ("edds-1", "error"),
        ("edds-2", "error"),
        ("edds-1", "info"),
    ]
    assert (logs[2]["lasted_s"], logs[2]["note"]) == (30, "it answers")
    assert [alarm.about for alarm in desk.alarms()] == ["edds-2"]
    with capture_logs() as logs:
        desk.alarm(Alarm.TRUNK_DOWN, "edds-1", "again")
    assert len(logs) == 1


async def test_a_state_that_is_looked_at_again_is_told_as_it_is_now_but_not_counted() -> None:
    desk = quiet()
    for spare in (2, 2, 1):
        desk.alarm(Alarm.POOL_LOW, "tula", f"{spare} of 40", another=False)
    (alarm,) = desk.alarms()
    assert (alarm.text, alarm.count) == ("1 of 40", 1)


async def test_an_alarm_of_one_moment_ends_by_itself_counted_from_its_repetition(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    desk = quiet()
    await nursery.start(desk.run)
    with capture_logs() as logs:
        desk.alarm(Alarm.DATABASE_AWAY, "", "away")
        desk.alarm(Alarm.CALL_FAILED, "c1", "486", lasting_s=60)
        desk.alarm(Alarm.GUARANTEE_BROKEN, "+7", "", lasting_s=600)
        await trio.sleep(50)
        desk.alarm(Alarm.CALL_FAILED, "c1", "503", lasting_s=60)
        await trio.sleep(59)
        assert len(desk.alarms()) == 3
        await trio.sleep(2)
        assert [alarm.kind for alarm in desk.alarms()] == [Alarm.GUARANTEE_BROKEN, Alarm.DATABASE_AWAY]
        await trio.sleep(80_000)
        assert [alarm.kind for alarm in desk.alarms()] == [Alarm.DATABASE_AWAY]
    assert [line["lasted_s"] for line in logs if line["log_level"] == "info"] == [110, 600]


async def test_alarms_whose_time_was_over_while_the_desk_was_restarted_end_with_its_next_life(
    autojump_clock: MockClock,
) -> None:
    desk = quiet()
    desk.alarm(Alarm.CALL_FAILED, "c1", "486", lasting_s=5)
    await trio.sleep(10)
    async with trio.open_nursery() as nursery:
        await nursery.start(desk.run)
        await trio.testing.wait_all_tasks_blocked()
        assert desk.alarms() == []
        nursery.cancel_scope.cancel()


async def test_alarms_are_bounded_and_the_newest_stand() -> None:
    desk = quiet()
    with capture_logs():
        for number in range(ALARMS_MAX + 3):
            desk.alarm(Alarm.CITY_UNKNOWN, f"panel{number}", "")
    about = [alarm.about for alarm in desk.alarms()]
    assert (len(about), about[0], about[-1]) == (ALARMS_MAX, f"panel{ALARMS_MAX + 2}", "panel3")


# --- webhooks ------------------------------------------------------------------------------------


@pytest.fixture
def clock(autojump_clock: MockClock) -> MockClock:
    autojump_clock.autojump_threshold = 0.02  # what goes over the loopback is there by then
    return autojump_clock


async def test_every_change_is_posted_in_order_with_all_there_is_to_know(clock: MockClock) -> None:
    gateway = DutyGateway()
    async with open_duty(gateway) as url, trio.open_nursery() as nursery:
        desk = DutyDesk(DutyConfig(url=url), "node1")
        await nursery.start(desk.run)
        desk.show(row(at=1_780_000_000.25))
        desk.alarm(Alarm.POOL_LOW, "tula", said(Says.POOL_LOW, spare=1, numbers=40))
        desk.alarm(Alarm.POOL_LOW, "tula", "0 of 40")
        desk.show(row(state=State.TALKING))
        await trio.sleep(3)
        desk.over(Alarm.POOL_LOW, "tula", "2 of 40")
        await gateway.wait(4)
        await trio.sleep(1)
        assert (desk.stats.sent, desk.stats.waiting) == (4, 0)
        nursery.cancel_scope.cancel()
    call, alarm, talking, over = gateway.events
    assert [event["event"] for event in gateway.events] == ["call", "alarm", "call", "alarm_over"]
    assert len({event["id"] for event in gateway.events}) == 4
    assert {event["node"] for event in gateway.events} == {"node1"}
    assert (call["call_id"], call["kind"], call["state"]) == ("c1", "sos", "calling")
    assert call["at"] == "2026-05-28T20:26:40.250+00:00"
    assert (call["panel"], call["domophone"], call["number"]) == ("panel1", "aabbccddeeff", "+74872331122")
    assert (call["address"], call["entrance"]) == ("Тула, ул. Мира, 5", "подъезд 2")
    assert talking["state"] == "talking"
    assert (alarm["kind"], alarm["about"]) == ("pool_low", "tula")
    assert alarm["text"] == "1 of 40 numbers are left to lend: put more into sos_numbers"
    assert (alarm["code"], alarm["values"]) == ("pool_low", {"spare": "1", "numbers": "40"})
    assert (over["text"], over["note"], over["count"], over["lasted_s"]) == ("0 of 40", "2 of 40", 2, 3)


async def test_a_gateway_that_hangs_delays_nothing(clock: MockClock) -> None:
    gateway = DutyGateway(status=HANG)
    async with open_duty(gateway) as url, trio.open_nursery() as nursery:
        desk = DutyDesk(DutyConfig(url=url), "node1")
        await nursery.start(desk.run)
        before = trio.current_time()
        for state in State:
            desk.show(row(state=state))
        assert trio.current_time() == before
        assert calls(desk) == [("c1", State.FAILED)]
        assert desk.stats.waiting == len(State)
        nursery.cancel_scope.cancel()
    assert trio.current_time() - before < 4


async def test_without_a_url_nothing_is_posted(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    desk = quiet()
    await nursery.start(desk.run)
    desk.show(row())
    desk.alarm(Alarm.NO_NUMBER, "tula", "none")
    await trio.sleep(10)
    assert (desk.stats.sent, desk.stats.failed, desk.stats.dropped, desk.stats.waiting) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    "tell",
    [
        lambda desk: desk.show(row()),
        lambda desk: desk.alarm(Alarm.CALL_FAILED, "c1", "486"),
        lambda desk: desk.over(Alarm.CALL_FAILED, "c0"),
    ],
)
async def test_a_fault_of_the_desk_does_not_reach_the_call_that_tells_it(
    tell: Callable[[DutyDesk], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = quiet()
    desk.alarm(Alarm.CALL_FAILED, "c0", "486")
    monkeypatch.setattr(duty_desk, "call_fields", None)
    monkeypatch.setattr(desk, "_about_alarm", None)
    with capture_logs() as logs:
        tell(desk)
    assert logs[-1]["event"] == "the duty desk failed to tell something"


def test_a_url_that_cannot_be_posted_to_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match=r"duty\.url"):
        DutyDesk(DutyConfig(url="ftp://duty/"), "node1")
