"""One call's ringing: who wins, what the others are told, and that everything is given back, in any order of events."""

from __future__ import annotations

import math

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.account_fanout import AccountFanout, Answered, Fanout, NobodyCame, Phase, Told, why_ended
from actors.journal import CallLog
from config import CallConfig
from crm.directory.directory import AccountInfo, FlatInfo, PanelInfo, PhoneInfo
from crm.model import Platform, Vendor
from crm.values.records import CallRecord, EntryKind, LegEnd, Outcome
from telephony.ari.channels import DropReason
from telephony.push.interface import PushKind
from tests.actors.paper import Paper, PaperPush

CALL = "0123456789abcdef"
PANEL = PanelInfo(1, "panel1", "186882310c8a", Vendor.SOKOL, "ул. Ленина 5, п. 2", "fias", "5", None)


class Notes:
    """A page of a journal that is read by the test alone."""

    def __init__(self) -> None:
        self.record = CallRecord(CALL, "node1", "panel1", "42", 0.0)
        self.kinds: list[EntryKind] = []
        self.data: list[dict[str, object]] = []

    def note(self, kind: EntryKind, leg: str = "", **data: object) -> None:
        self.kinds.append(kind)
        self.data.append(data)

    def close(self) -> None: ...


def account(n: int, phones: int = 1) -> AccountInfo:
    return AccountInfo(
        f"acc{n}",
        "teledom",
        tuple(
            PhoneInfo(10 * n + i, Platform.ANDROID.value, "app", f"token{n}{i}", "ru") for i in range(phones)
        ),
    )


class Bench:
    """A fan-out at work on paper. `legs` are the channel ids of its accounts, in their order."""

    def __init__(self, accounts: int, phones: int = 1) -> None:
        self.paper = Paper()
        self.push = PaperPush()
        self.notes = Notes()
        self.told: list[Told] = []
        self.taken_over: list[str] = []
        flat = FlatInfo(
            1, "42", "ул. Ленина 5", (), False, tuple(account(n, phones) for n in range(1, accounts + 1))
        )
        log: CallLog = self.notes  # type: ignore[assignment]
        self.fanout = AccountFanout(
            Fanout(
                ari=self.paper.ari,
                lane=self.paper.lane,
                push=self.push,
                log=log,
                config=CallConfig(),
                panel_channel="1700000000.1",
                panel=PANEL,
                flat=flat,
                deadline=math.inf,
            ),
            self.told.append,
            lambda leg, event: self.taken_over.append(leg.id),
        )
        self.legs = [f"td-{CALL}-acc-{n}" for n in range(1, accounts + 1)]

    def ends(self) -> dict[str, LegEnd | None]:
        return {leg.channel: leg.end for leg in self.notes.record.legs}

    def deletes(self) -> dict[str, str]:
        return {
            r.path.removeprefix("channels/"): (r.query or {}).get("reason", "")
            for r in self.paper.asked("DELETE")
        }


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def test_every_account_is_rung_and_pushed_at_once() -> None:
    bench = Bench(3)
    async with trio.open_nursery() as nursery:
        with bench.paper.open():
            nursery.start_soon(bench.fanout.run)
            await settle()
            originated = bench.paper.asked("POST", "channels/td-")
            assert [r.path.removeprefix("channels/") for r in originated] == bench.legs
            first = originated[0]
            assert first.query is not None
            assert first.query["endpoint"] == "PJSIP/acc1@televoip"
            assert first.body == {
                "variables": {
                    "PJSIP_HEADER(add,X-Kamailio-URI)": "sip:acc1@teledom",
                    "PJSIP_HEADER(add,X-URI-Type)": "mobile",
                    "PJSIP_HEADER(add,X-Td-Call)": CALL,
                }
            }
            assert [push.account for push in bench.push.sent] == ["acc1", "acc2", "acc3"]
            nursery.cancel_scope.cancel()


async def test_second_answer_is_dropped_as_answered_elsewhere() -> None:
    bench = Bench(2)
    async with trio.open_nursery() as nursery:
        with bench.paper.open():
            nursery.start_soon(bench.fanout.run)
            await settle()
            bench.paper.answers(bench.legs[1])
            bench.paper.answers(bench.legs[0])
            await settle()
            assert [t.account for t in bench.told if isinstance(t, Answered)] == ["acc2"]
            assert bench.deletes() == {bench.legs[0]: "answered_elsewhere"}
            nursery.cancel_scope.cancel()
    assert bench.ends() == {bench.legs[0]: LegEnd.ANSWERED_ELSEWHERE, bench.legs[1]: LegEnd.DROPPED}


async def test_only_phones_that_have_not_answered_are_told_that_it_is_over() -> None:
    bench = Bench(3, phones=2)
    async with trio.open_nursery() as nursery:
        with bench.paper.open():
            nursery.start_soon(bench.fanout.run)
            await settle()
            bench.paper.answers(bench.legs[0])
            await settle()
            cancels = [p for p in bench.push.sent if p.kind is PushKind.CANCEL]
            # The account that answered has two phones: which of them it was, the app knows.
            assert {p.account for p in cancels} == {"acc1", "acc2", "acc3"}
            assert {p.reason for p in cancels} == {"answered_elsewhere"}
            nursery.cancel_scope.cancel()
    single = Bench(2)
    async with trio.open_nursery() as nursery:
        with single.paper.open():
            nursery.start_soon(single.fanout.run)
            await settle()
            single.paper.answers(single.legs[0])
            await settle()
            assert [p.account for p in single.push.sent if p.kind is PushKind.CANCEL] == ["acc2"]
            nursery.cancel_scope.cancel()


async def test_all_busy_or_declined_is_declined() -> None:
    bench = Bench(2)
    async with trio.open_nursery() as nursery:
        with bench.paper.open():
            nursery.start_soon(bench.fanout.run)
            await settle()
            bench.paper.ends(bench.legs[0], cause=17, sip=486)
            bench.paper.ends(bench.legs[1], cause=21, sip=603)
            await settle()
            assert bench.told == [NobodyCame(Outcome.DECLINED)]
            nursery.cancel_scope.cancel()


async def test_never_registered_and_declined_is_nobody_answered() -> None:
    bench = Bench(2)
    async with trio.open_nursery() as nursery:
        with bench.paper.open():
            nursery.start_soon(bench.fanout.run)
            await settle()
            bench.paper.ends(bench.legs[0], cause=19, sip=480)
            bench.paper.ends(bench.legs[1], cause=21, sip=603)
            await settle()
            assert bench.told == [NobodyCame(Outcome.NOBODY_ANSWERED)]
            nursery.cancel_scope.cancel()
    assert bench.ends()[bench.legs[0]] is LegEnd.UNREACHABLE


async def test_leg_that_asterisk_refuses_is_that_leg_failing(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench(2)
    bench.paper.status = {f"POST channels/{bench.legs[0]}": 500}
    async with trio.open_nursery() as nursery:
        with bench.paper.open():
            nursery.start_soon(bench.fanout.run)
            await settle()
            assert bench.ends()[bench.legs[0]] is LegEnd.FAILED
            assert bench.told == []
            bench.paper.answers(bench.legs[1])
            await settle()
            assert isinstance(bench.told[0], Answered)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("phase", "sip", "cause", "dropped", "end"),
    [
        (Phase.RINGING, 486, 17, None, LegEnd.BUSY),
        (Phase.RINGING, 603, 21, None, LegEnd.DECLINED),
        (Phase.RINGING, 480, 19, None, LegEnd.NO_ANSWER),
        (Phase.CALLED, 480, 19, None, LegEnd.UNREACHABLE),
        (Phase.CALLED, 0, 20, None, LegEnd.UNREACHABLE),
        (Phase.CALLED, 500, 38, None, LegEnd.FAILED),
        (Phase.RINGING, 487, 26, DropReason.ANSWERED_ELSEWHERE, LegEnd.ANSWERED_ELSEWHERE),
        (Phase.RINGING, 487, 16, DropReason.NORMAL, LegEnd.CANCELLED),
        (Phase.WON, 0, 16, None, LegEnd.HUNG_UP),
        (Phase.WON, 0, 16, DropReason.NORMAL, LegEnd.DROPPED),
    ],
)
def test_why_a_leg_ended(phase: Phase, sip: int, cause: int, dropped: DropReason | None, end: LegEnd) -> None:
    assert why_ended(phase, sip, cause, dropped) is end


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["rings", "answers", "busy", "gone", "pause", "cancel"]),
        st.integers(min_value=0, max_value=3),
    ),
    max_size=14,
)


@settings(max_examples=150, deadline=None)
@given(
    accounts=st.integers(min_value=1, max_value=4),
    steps=STEPS,
    refused=st.sets(st.integers(1, 4), max_size=2),
)
def test_any_order_has_one_winner_or_none_and_gives_everything_back(
    accounts: int, steps: list[tuple[str, int]], refused: set[int]
) -> None:
    trio.run(_any_order, accounts, steps, refused, clock=trio.testing.MockClock(autojump_threshold=0))


async def _any_order(accounts: int, steps: list[tuple[str, int]], refused: set[int]) -> None:
    bench = Bench(accounts)
    paper = bench.paper
    paper.status = {f"POST channels/td-{CALL}-acc-{n}": 500 for n in refused}
    cancelled = False
    with paper.open():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.fanout.run)
            await settle()
            for step, n in steps:
                leg = bench.legs[n % accounts]
                match step:
                    case "rings":
                        paper.rings(leg)
                    case "answers":
                        paper.answers(leg)
                    case "busy":
                        paper.ends(leg, cause=17, sip=486)
                    case "gone":
                        paper.ends(leg, cause=16)
                    case "pause":
                        await settle()
                    case "cancel":
                        cancelled = True
                        break
            if not cancelled:
                await settle()
            nursery.cancel_scope.cancel()
    winners = [told for told in bench.told if isinstance(told, Answered)]
    assert len(winners) <= 1
    if cancelled:
        assert len(bench.told) <= 1
    elif winners:
        assert bench.told == winners
    else:
        ended = all(end is not None and end is not LegEnd.CANCELLED for end in bench.ends().values())
        assert len(bench.told) == (1 if ended else 0)
    assert not paper.ari.legs, "a leg was not given back"
    records = bench.notes.record.legs
    assert len(records) == accounts
    assert all(record.end is not None for record in records)
    answered = [record for record in records if record.answered_at is not None]
    assert [record.channel for record in answered] == [winner.leg.id for winner in winners]
    assert bench.notes.kinds.count(EntryKind.LEG_ENDED) == accounts
    rung = {push.phone_id for push in bench.push.sent if push.kind is PushKind.RING}
    told_over = {push.phone_id for push in bench.push.sent if push.kind is PushKind.CANCEL}
    assert rung == told_over | {int(w.account.removeprefix("acc")) * 10 for w in winners}
