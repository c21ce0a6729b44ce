"""The course of a visitor's call, on paper: each way in which it can go, and what is asked of Asterisk meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.domophone import Claim, Hold, Pressed
from actors.journal import Journal
from actors.talk import REFUSALS, SETTLE_S
from actors.visitor import VisitorCall, World, call_id_of
from config import CallConfig, JournalConfig, Ringing
from crm.directory.directory import Directory, DirectoryAway, FlatInfo, Lookup
from crm.values.records import CallRecord, EntryKind, LegEnd, Outcome
from tests.actors.paper import Paper, PaperPush
from tests.actors.test_account_fanout import PANEL, account

CHANNEL = "node1-1700000000.1"
CALL = call_id_of(CHANNEL)
LEG1, LEG2 = f"td-{CALL}-acc-1", f"td-{CALL}-acc-2"
FLAT = FlatInfo(7, "42", "ул. Ленина 5, п. 2", (), False, (account(1), account(2)))


class PaperDirectory:
    """Answers what the test says, after `takes_s`."""

    def __init__(self, lookup: Lookup | None) -> None:
        self.lookup = lookup
        self.takes_s = 0.0
        self.asked = 0

    async def look_up(self, sip_user: str, dialled: str, deadline_s: float) -> Lookup:
        self.asked += 1
        await trio.sleep(self.takes_s)
        if self.lookup is None:
            raise DirectoryAway("the database is away")
        return self.lookup


class Stage:
    """One visitor's call on paper. `record` is what the journal is given."""

    def __init__(self, folder: Path, lookup: Lookup | None, config: CallConfig) -> None:
        self.paper = Paper()
        self.push = PaperPush()
        self.directory = PaperDirectory(lookup)
        self.hold = Hold(Claim.VISITOR)
        self.journal = Journal(JournalConfig(), folder, lambda records: None, away=OSError)
        directory: Directory = self.directory  # type: ignore[assignment]
        world = World("node1", config, self.paper.ari, directory, self.journal, self.push)
        self.ended = trio.Event()
        with self.paper.open():
            self.call = VisitorCall(world, "panel1", Pressed(CHANNEL, "42"), self.hold)

    @property
    def record(self) -> CallRecord:
        return self.call._record

    async def run(self) -> None:
        with self.hold.scope:
            await self.call.run()
        self.ended.set()

    def kinds(self) -> list[EntryKind]:
        return [entry.kind for entry in self.record.entries]

    def ends(self) -> dict[str, LegEnd | None]:
        return {leg.channel: leg.end for leg in self.record.legs}

    def hung_up_with(self) -> str | None:
        deletes = self.paper.asked("DELETE", CHANNEL)
        return (deletes[0].query or {}).get("reason_code") if deletes else None


@asynccontextmanager
async def call(
    folder: Path, lookup: Lookup | None = None, config: CallConfig | None = None, *, known: bool = True
) -> AsyncIterator[Stage]:
    stage = Stage(
        folder,
        (lookup or Lookup(PANEL, FLAT)) if known else None,
        config or CallConfig(ring_s=30, talk_s=120),
    )
    with stage.paper.open():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.run)
            await trio.testing.wait_all_tasks_blocked()
            yield stage
            nursery.cancel_scope.cancel()
    assert not stage.paper.ari.legs, "a channel was not given back"
    assert not stage.paper.ari.bridges, "a bridge was not given back"
    assert stage.record.outcome is not None, "the record was not closed"
    assert stage.kinds()[-1] is EntryKind.END
    assert stage.journal.stats.open_calls == 0


async def test_panel_hears_ringing_before_the_directory_answers(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with call(tmp_path) as stage:
        assert stage.paper.requests[0].path == f"channels/{CHANNEL}/ring"
    slow = Stage(tmp_path, Lookup(PANEL, FLAT), CallConfig())
    slow.directory.takes_s = 1.0
    with slow.paper.open():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(slow.run)
            await trio.sleep(0.5)
            assert [r.path for r in slow.paper.requests] == [f"channels/{CHANNEL}/ring"]
            await trio.sleep(0.6)
            assert len(slow.paper.asked("POST", "channels/td-")) == 2
            nursery.cancel_scope.cancel()


async def test_183_is_a_setting(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with call(tmp_path, config=CallConfig(ringing=Ringing.PROGRESS_183)) as stage:
        assert stage.paper.requests[0].path == f"channels/{CHANNEL}/progress"
        assert stage.paper.requests[1].query == {"media": "tone:ring", "lang": "ru"}
    async with call(tmp_path, Lookup(attrs.evolve(PANEL, ringing=Ringing.PROGRESS_183), FLAT)) as stage:
        assert [r.path for r in stage.paper.requests[:2]] == [
            f"channels/{CHANNEL}/ring",
            f"channels/{CHANNEL}/progress",
        ]


async def test_first_to_answer_talks_until_he_hangs_up(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with call(tmp_path) as stage:
        await trio.sleep(3)
        stage.paper.rings(LEG1)
        stage.paper.answers(LEG2)
        await trio.sleep(5)
        asked = [str(r) for r in stage.paper.requests if "bridge" in r.path or r.path.endswith("/answer")]
        assert asked == [
            f"POST channels/{CHANNEL}/answer",
            f"POST bridges/td-{CALL}-bridge",
            f"POST bridges/td-{CALL}-bridge/addChannel",
        ] or asked == [
            f"POST bridges/td-{CALL}-bridge",
            f"POST channels/{CHANNEL}/answer",
            f"POST bridges/td-{CALL}-bridge/addChannel",
        ]
        stage.paper.presses(LEG2, "1")
        stage.paper.presses(LEG2, "5")
        stage.paper.presses(CHANNEL, "5")
        await trio.sleep(1)
        stage.paper.ends(LEG2, cause=16)
        await stage.ended.wait()
    assert stage.record.outcome is Outcome.TALKED
    assert stage.record.answered_by == "acc2"
    assert stage.ends() == {
        CHANNEL: LegEnd.DROPPED,
        LEG1: LegEnd.ANSWERED_ELSEWHERE,
        LEG2: LegEnd.HUNG_UP,
    }
    digits = [e.data for e in stage.record.entries if e.kind is EntryKind.DTMF]
    assert digits == [
        {"digit": "1", "by": "acc2"},
        {"digit": "5", "by": "acc2"},
        {"digit": "5", "by": "panel"},
    ]
    doors = [e.data for e in stage.record.entries if e.kind is EntryKind.DOOR]
    assert doors == [{"digit": "5", "by": "acc2"}]


REFUSED = [
    (Lookup(None, None), Outcome.UNKNOWN_PANEL),
    (Lookup(PANEL, None), Outcome.UNKNOWN_FLAT),
    (Lookup(PANEL, attrs.evolve(FLAT, blocks=("debt",))), Outcome.BLOCKED),
    (Lookup(PANEL, attrs.evolve(FLAT, accounts=())), Outcome.NO_ACCOUNTS),
]


@pytest.mark.parametrize(("lookup", "outcome"), REFUSED)
async def test_refusals_have_their_own_prompt_and_cause(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, lookup: Lookup, outcome: Outcome
) -> None:
    async with call(tmp_path, lookup) as stage:
        await stage.ended.wait()
    assert stage.record.outcome is outcome
    assert stage.hung_up_with() == str(REFUSALS[outcome].cause)
    played = [e.data["media"] for e in stage.record.entries if e.kind is EntryKind.PROMPT]
    assert played == [f"sound:teledom/{REFUSALS[outcome].prompt}"]
    assert not stage.paper.asked("POST", "channels/td-")


async def test_tone_is_heard_where_the_prompt_is_missing(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    stage = Stage(tmp_path, Lookup(PANEL, None), CallConfig())
    stage.paper.prompt_state = "failed"
    with stage.paper.open():
        await stage.run()
    played = [e.data["media"] for e in stage.record.entries if e.kind is EntryKind.PROMPT]
    assert played == ["sound:teledom/unknown-flat", "tone:info"]


@pytest.mark.parametrize(
    ("state", "heard"),
    [
        ("done", ["sound:teledom/owes"]),
        ("failed", ["sound:teledom/owes", "sound:teledom/blocked", "tone:record"]),
    ],
)
async def test_a_kind_of_block_has_its_own_prompt_and_the_usual_one_where_that_is_missing(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, state: str, heard: list[str]
) -> None:
    flat = attrs.evolve(FLAT, blocks=("debt",), prompt="owes")
    stage = Stage(tmp_path, Lookup(PANEL, flat), CallConfig())
    stage.paper.prompt_state = state
    with stage.paper.open():
        await stage.run()
    assert stage.record.outcome is Outcome.BLOCKED
    assert stage.hung_up_with() == str(REFUSALS[Outcome.BLOCKED].cause)
    assert [e.data["media"] for e in stage.record.entries if e.kind is EntryKind.PROMPT] == heard


def test_each_outcome_has_a_cause_of_its_own() -> None:
    causes = [refusal.cause for refusal in REFUSALS.values()]
    assert len(set(causes)) == len(causes)


async def test_nobody_answers_and_all_declined_are_told_apart(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with call(tmp_path) as stage:
        stage.paper.ends(LEG1, sip=486, cause=17)
        stage.paper.ends(LEG2, sip=603, cause=21)
        await stage.ended.wait()
    assert (stage.record.outcome, stage.hung_up_with()) == (Outcome.DECLINED, "17")
    async with call(tmp_path) as stage:
        stage.paper.ends(LEG1, sip=480, cause=19)
        stage.paper.ends(LEG2, sip=480, cause=19)
        await stage.ended.wait()
    assert (stage.record.outcome, stage.hung_up_with()) == (Outcome.NOBODY_ANSWERED, "18")


async def test_ring_time_is_limited(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with call(tmp_path, config=CallConfig(ring_s=12)) as stage:
        started = trio.current_time()
        await stage.ended.wait()
        assert 12 <= trio.current_time() - started < 13
    assert (stage.record.outcome, stage.hung_up_with()) == (Outcome.RING_TIMEOUT, "19")
    assert stage.ends()[LEG1] is LegEnd.CANCELLED


async def test_talk_time_is_limited(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with call(tmp_path, config=CallConfig(talk_s=20)) as stage:
        stage.paper.answers(LEG1)
        await trio.sleep(19.9)
        assert not stage.ended.is_set()
        await trio.sleep(0.2)
        assert stage.ended.is_set()
    assert stage.record.outcome is Outcome.TALKED
    assert stage.record.entries[-1].data["by"] == "limit"
    assert stage.ends()[LEG1] is LegEnd.DROPPED


async def test_visitor_gives_up_and_every_phone_is_cancelled(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with call(tmp_path) as stage:
        await trio.sleep(4)
        stage.paper.ends(CHANNEL)
        await trio.testing.wait_all_tasks_blocked()
        assert {r.path for r in stage.paper.asked("DELETE", "td-")} == {
            f"channels/{LEG1}",
            f"channels/{LEG2}",
        }
        assert {p.account for p in stage.push.sent if p.reason == "gave_up"} == {"acc1", "acc2"}
    assert stage.record.outcome is Outcome.GAVE_UP
    assert stage.ends() == {CHANNEL: LegEnd.CANCELLED, LEG1: LegEnd.CANCELLED, LEG2: LegEnd.CANCELLED}


async def test_auto_open_sends_the_panels_own_digit_and_rings_nobody(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with call(tmp_path, Lookup(PANEL, attrs.evolve(FLAT, auto_open=True))) as stage:
        await stage.ended.wait()
    assert stage.record.outcome is Outcome.AUTO_OPENED
    (dtmf,) = stage.paper.asked("POST", "/dtmf")
    assert (dtmf.query or {})["dtmf"] == PANEL.door_digits
    assert not stage.paper.asked("POST", "channels/td-")
    assert stage.record.door_at is not None


@pytest.mark.parametrize(("status", "outcome"), [(404, Outcome.GAVE_UP), (409, Outcome.FAILED)])
async def test_a_door_that_was_not_opened_is_not_said_to_be(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, status: int, outcome: Outcome
) -> None:
    stage = Stage(tmp_path, Lookup(PANEL, attrs.evolve(FLAT, auto_open=True)), CallConfig())
    stage.paper.status = {"/dtmf": status}
    with stage.paper.open():
        await stage.run()
    assert stage.record.outcome is outcome
    assert stage.record.door_at is None
    assert EntryKind.DOOR not in stage.kinds()


async def test_a_panel_without_a_digit_for_its_door_rings_the_flat(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    lookup = Lookup(attrs.evolve(PANEL, door_digits=""), attrs.evolve(FLAT, auto_open=True))
    async with call(tmp_path, lookup) as stage:
        assert len(stage.paper.asked("POST", "channels/td-")) == 2


async def test_blocks_win_over_auto_open(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    flat = attrs.evolve(FLAT, auto_open=True, blocks=("debt",))
    async with call(tmp_path, Lookup(PANEL, flat)) as stage:
        await stage.ended.wait()
    assert stage.record.outcome is Outcome.BLOCKED


async def test_database_away_and_flat_not_known(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with call(tmp_path, known=False) as stage:
        await stage.ended.wait()
    assert stage.record.outcome is Outcome.DIRECTORY_AWAY


async def test_bridge_that_asterisk_refuses_ends_the_call_as_failed(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    stage = Stage(tmp_path, Lookup(PANEL, FLAT), CallConfig())
    stage.paper.status = {"addChannel": 422}
    with stage.paper.open():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.run)
            await trio.testing.wait_all_tasks_blocked()
            stage.paper.answers(LEG1)
            await trio.sleep(SETTLE_S + 0.1)
            assert stage.record.outcome is Outcome.FAILED
            nursery.cancel_scope.cancel()


async def test_request_that_raced_a_hangup_is_a_hangup(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    stage = Stage(tmp_path, Lookup(PANEL, FLAT), CallConfig())
    stage.paper.status = {"addChannel": 400}
    with stage.paper.open():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.run)
            await trio.testing.wait_all_tasks_blocked()
            stage.paper.answers(LEG1)
            await trio.sleep(SETTLE_S / 2)
            stage.paper.ends(CHANNEL)
            await trio.sleep(0.1)
            assert stage.record.outcome is Outcome.GAVE_UP
            nursery.cancel_scope.cancel()


async def test_a_panel_whose_channel_is_not_there_any_more_has_hung_up(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    stage = Stage(tmp_path, Lookup(PANEL, FLAT), CallConfig())
    stage.paper.status = {"ring": 404}
    with stage.paper.open():
        await stage.run()

    assert stage.record.outcome is Outcome.GAVE_UP
    assert not stage.paper.asked("POST", "channels/td-")


async def test_replaced_call_is_written_down_as_replaced(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with call(tmp_path) as stage:
        stage.hold.ending = Outcome.REPLACED
        stage.hold.scope.cancel()
        await stage.ended.wait()
    assert stage.record.outcome is Outcome.REPLACED


STEPS = st.lists(
    st.sampled_from(
        ["rings", "answers1", "answers2", "ends1", "ends2", "panel_ends", "digit", "pause", "cancel"]
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, refused=st.sampled_from(["", "addChannel", "/answer", "POST bridges", "channels/td-"]))
def test_any_order_of_events_ends_with_everything_given_back(
    tmp_path: Path, steps: list[str], refused: str
) -> None:
    trio.run(_any_order, tmp_path, steps, refused, clock=trio.testing.MockClock(autojump_threshold=0))


async def _any_order(folder: Path, steps: list[str], refused: str) -> None:
    async with call(folder) as stage:
        if refused:
            stage.paper.status = {refused: 404}
        for step in steps:
            match step:
                case "rings":
                    stage.paper.rings(LEG1)
                case "answers1" | "answers2":
                    stage.paper.answers(LEG1 if step == "answers1" else LEG2)
                case "ends1" | "ends2":
                    stage.paper.ends(LEG1 if step == "ends1" else LEG2, sip=480, cause=19)
                case "panel_ends":
                    stage.paper.ends(CHANNEL)
                case "digit":
                    stage.paper.presses(LEG1, "5")
                case "pause":
                    await trio.sleep(0.3)
                case "cancel":
                    stage.hold.scope.cancel()
        await trio.sleep(300)
        assert stage.ended.is_set(), "a call outlived every limit"
        assert all(leg.end is not None for leg in stage.record.legs)
        answered = [leg for leg in stage.record.legs if leg.role == "account" and leg.answered_at is not None]
        assert len(answered) <= 1
