"""Billing over HTTP, against a real server that fails in every way: what is tried again, for how long, what is said."""

from __future__ import annotations

import datetime
import email.utils
import time
from collections import deque
from collections.abc import Iterator
from decimal import Decimal

import pytest

from config import BillingConfig
from crm.companies.billing import (
    Billing,
    BillingAway,
    BillingNonsense,
    BillingRefused,
    CompanyTold,
    pause_before_next_try,
)
from testbed.billing import FakeBilling, Fault, running_billing
from tests.crm.companies.world import World, billing_world

COMPANY = CompanyTold(
    key="teledom-7", name="Альфа", inn="7451000000", active=True, code="48213", code_since=1_795_226_400.0
)
UTC = datetime.UTC


@pytest.fixture
def world() -> Iterator[World]:
    with billing_world() as world:
        yield world


class Clock:
    """A clock that only sleeping moves, from which it can be read how long was waited."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def patient(world: World, clock: Clock) -> Iterator[Billing]:
    """Asks for up to 20 seconds of this clock."""
    settings = BillingConfig(url=world.settings.url, deadline_s=20)
    with Billing(settings, sleep=clock.sleep, clock=clock) as client:
        yield client


def test_a_company_is_told_and_has_an_id_then(world: World) -> None:
    assert world.client.put_company(COMPANY) == "B7"
    (asked,) = world.fake.asked
    assert (asked.method, asked.path) == ("PUT", "/billing/companies/teledom-7")
    assert asked.body == {
        "name": "Альфа",
        "inn": "7451000000",
        "active": True,
        "code": "48213",
        "code_since": "2026-11-21T02:00:00Z",
    }


def test_debts_and_contracts_come_by_pages(world: World) -> None:
    world.fake.page = 2
    for n in range(3):
        world.fake.owes(f"A-{n}", "1250.50")
    world.fake.contract("A-1", "42", fias="f-1")
    world.fake.contract("A-2", active=False)
    first = world.client.debts("")
    assert [each.contract for each in first.entries] == ["A-0", "A-1"]
    assert first.entries[0].amount == Decimal("1250.50")
    assert first.entries[0].since == datetime.datetime(2026, 10, 1, tzinfo=UTC)
    assert first.more
    second = world.client.debts(first.next)
    assert ([each.contract for each in second.entries], second.more) == (["A-2"], False)
    assert world.client.debts(second.next).entries == ()
    one, other = world.client.contracts("").entries
    assert (one.contract, one.house.fias, one.flat, one.active) == ("A-1", "f-1", "42", True)
    assert not other.active


def test_the_token_is_sent_and_a_wrong_one_is_named() -> None:
    with billing_world(token="hush") as world:
        assert world.client.debts("").entries == ()
        world.fake.token = "other"
        with pytest.raises(BillingRefused, match="TELEDOM_BILLING_TOKEN") as refused:
            world.client.debts("")
        assert "hush" not in str(refused.value)


@pytest.mark.parametrize("fault", [Fault.AWAY, Fault.UNAVAILABLE, Fault.TOO_MANY, Fault.HALF])
def test_what_passes_is_tried_again(world: World, patient: Billing, clock: Clock, fault: Fault) -> None:
    world.fake.script = deque([fault, fault])
    assert patient.put_company(COMPANY) == "B7"
    assert len(world.fake.asked) == 3
    assert len(clock.slept) == 2


def test_pauses_grow_until_the_deadline(world: World, patient: Billing, clock: Clock) -> None:
    world.fake.fault = Fault.AWAY
    with pytest.raises(BillingAway, match="see that it runs"):
        patient.debts("")
    assert clock.now < 20
    assert clock.slept[0] == pytest.approx(0.25, rel=0.21)
    assert clock.slept[3] == pytest.approx(2.0, rel=0.21)
    assert max(clock.slept) <= 4.8
    assert len(world.fake.asked) == len(clock.slept) + 1


def test_a_pause_that_billing_asks_for_is_kept(world: World, patient: Billing, clock: Clock) -> None:
    world.fake.script = deque([Fault.UNAVAILABLE, Fault.TOO_MANY])
    world.fake.retry_after = "7"
    patient.debts("")
    assert clock.slept == [7.0, 7.0]


def test_one_beyond_the_deadline_is_for_who_asks_to_keep(world: World, patient: Billing) -> None:
    world.fake.fault = Fault.UNAVAILABLE
    world.fake.retry_after = "600"
    with pytest.raises(BillingAway) as away:
        patient.debts("")
    assert away.value.retry_after_s == 600
    assert len(world.fake.asked) == 1


@pytest.mark.parametrize("text", ["soon", "", "-5", "9" * 400, "Mon, 99 Foo 2026"])
def test_a_pause_that_cannot_be_read_is_our_own(
    world: World, patient: Billing, clock: Clock, text: str
) -> None:
    world.fake.script = deque([Fault.UNAVAILABLE])
    world.fake.retry_after = text
    if text.isdigit():
        with pytest.raises(BillingAway):
            patient.debts("")
    else:
        patient.debts("")
        assert clock.slept == [pytest.approx(0.25, rel=0.21)]


def test_a_pause_may_be_a_date(world: World, patient: Billing, clock: Clock) -> None:
    world.fake.script = deque([Fault.UNAVAILABLE])
    world.fake.retry_after = email.utils.format_datetime(
        datetime.datetime.now(UTC) + datetime.timedelta(seconds=9), usegmt=False
    )
    patient.debts("")
    assert clock.slept == [pytest.approx(9, abs=2)]


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.DROPS])
def test_an_answer_that_does_not_come_ends_with_the_deadline(fault: Fault) -> None:
    with billing_world(deadline_s=0.5) as world:
        world.fake.fault = fault
        world.fake.drop_s = 1.0
        begun = time.monotonic()
        with pytest.raises(BillingAway):
            world.client.debts("")
        assert time.monotonic() - begun < 5  # 0.5 s, and a slow machine


def test_an_answer_that_comes_slowly_but_in_time_is_read() -> None:
    with billing_world(deadline_s=20) as world:
        world.fake.fault = Fault.DROPS
        world.fake.drop_s = 0.001
        assert world.client.debts("").next == "0"


@pytest.mark.parametrize("fault", [Fault.GARBAGE, Fault.WRONG_SHAPE, Fault.BROKEN, Fault.REDIRECT])
def test_nonsense_is_not_asked_for_again(world: World, fault: Fault) -> None:
    world.fake.fault = fault
    with pytest.raises(BillingNonsense, match="GET /debts"):
        world.client.debts("")
    assert len(world.fake.asked) == 1


def test_a_refusal_says_why(world: World) -> None:
    world.fake.fault = Fault.REFUSED
    with pytest.raises(BillingRefused, match=r"it answers 422: inn: no such company$"):
        world.client.put_company(COMPANY)
    assert len(world.fake.asked) == 1


@pytest.mark.parametrize(
    "entry",
    [
        {"contract": "", "since": "2026-10-01T00:00:00Z", "amount": "1"},
        {"contract": "A\0", "since": "2026-10-01T00:00:00Z", "amount": "1"},
        {"contract": "A" * 65, "since": "2026-10-01T00:00:00Z", "amount": "1"},
        {"contract": "A", "since": "2026-10-01", "amount": "1"},
        {"contract": "A", "since": "2026-10-01T00:00:00", "amount": "1"},  # in which zone?
        {"contract": "A", "since": "2026-10-01T00:00:00Z", "amount": "NaN"},
        {"contract": "A", "since": "2026-10-01T00:00:00Z", "amount": "1E+999999"},
        {"contract": "A", "since": "2026-10-01T00:00:00Z", "amount": "much"},
        {"contract": "A", "since": "2026-10-01T00:00:00Z"},
    ],
)
def test_an_entry_that_cannot_be_is_nonsense(world: World, entry: dict[str, str]) -> None:
    world.fake.debts.append(entry)
    with pytest.raises(BillingNonsense):
        world.client.debts("")


def test_a_feed_that_does_not_go_on_is_nonsense(world: World) -> None:
    world.fake.page = 0
    world.fake.owes("A-1", "1")
    with pytest.raises(BillingNonsense, match="does not go on"):
        world.client.debts("0")


def test_nobody_at_the_address_is_away() -> None:
    with running_billing(FakeBilling()) as url:
        pass
    with (
        Billing(BillingConfig(url=url, deadline_s=0.5), sleep=lambda _: None) as client,
        pytest.raises(BillingAway, match=r"\[billing\] url"),
    ):
        client.debts("")


def test_pauses_between_questions_double_up_to_the_longest() -> None:
    settings = BillingConfig(retry_s=30, retry_max_s=600)
    for tries, expected in ((0, 30), (1, 30), (2, 60), (4, 240), (6, 600), (5000, 600)):
        assert pause_before_next_try(settings, tries) == pytest.approx(expected, rel=0.21)
