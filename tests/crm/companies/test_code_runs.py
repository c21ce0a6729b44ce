"""Weekly runs of codes: once a week, for active companies, going on where they stopped; and codes made by hand."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from config import CodesConfig
from crm.companies import code_runs
from crm.companies.code_billing import codes_to_tell, tell_code, tell_due
from crm.companies.code_panels import deliver_missing, end_code
from crm.companies.code_runs import (
    codes_of,
    codes_that_hold,
    end_run,
    make_by_hand,
    make_codes,
    make_next,
    open_run,
    runs,
)
from crm.companies.codes import NoCodesLeft, Week
from crm.model import House, table
from crm.rights import EVERYWHERE, Reach, Right, Rights
from crm.store import Store
from crm.tables.companies import CodeDelivery, Company, CompanyCode
from crm.who import SYSTEM, Conflict, Forbidden, NotFound, Who
from testbed.billing import Fault
from tests.crm.companies.world import World, add_company, billing_world
from tests.crm.houses import Houses

SETTINGS = CodesConfig()
DAY_S = 86_400.0
MONDAY = datetime.datetime(2026, 11, 23, 5, tzinfo=ZoneInfo("Europe/Moscow")).timestamp()
DELIVERIES = table(CodeDelivery)
COMPANIES = table(Company)


@pytest.fixture
def world() -> Iterator[World]:
    with billing_world() as world:
        yield world


def make(store: Store, now: float = MONDAY, *, billing: bool = False) -> int:
    """The week's codes, whatever is due at this moment; how many were made."""
    made = make_codes(store, SETTINGS, now, billing=billing)
    run = open_run(store)
    if run is not None:
        end_run(store, run, now)
    return made


def code(store: Store, company: int) -> str:
    with store.reading() as connection:
        found: str = connection.execute(
            sa.select(COMPANIES.c.code).where(COMPANIES.c.id == company)
        ).scalar_one()
        return found


def panels_to_tell(store: Store) -> dict[int, str]:
    """Panels that are to be told, with the code that each is to learn."""
    codes = table(CompanyCode)
    query = sa.select(DELIVERIES.c.domophone_id, codes.c.code).join(codes, codes.c.id == DELIVERIES.c.code_id)
    with store.reading() as connection:
        return {
            row.domophone_id: row.code
            for row in connection.execute(query.where(DELIVERIES.c.done_at.is_(None)))
        }


# --- a week's run --------------------------------------------------------------------------------------------------


def test_each_active_company_gets_a_code_and_an_inactive_one_none(store: Store) -> None:
    first, second = add_company(store, "Альфа"), add_company(store, "Бета")
    gone = add_company(store, "Гамма", active=False)
    assert make(store) == 2
    assert len({code(store, first), code(store, second)}) == 2
    assert code(store, gone) == ""
    assert codes_of(store, SYSTEM, gone) == []


def test_a_week_is_made_once(store: Store) -> None:
    company = add_company(store, "Альфа")
    make(store)
    before = code(store, company)
    assert make(store, MONDAY + 1) == 0
    assert make(store, MONDAY + 6 * DAY_S) == 0
    assert code(store, company) == before
    assert make(store, MONDAY + 7 * DAY_S) == 1
    assert code(store, company) != before


def test_missed_mondays_are_made_up_once_for_the_newest(store: Store) -> None:
    company = add_company(store, "Альфа")
    make(store)
    later = MONDAY + 23 * DAY_S  # a Wednesday, three Mondays later
    assert make(store, later) == 1
    assert [each.week for each in runs(store, SYSTEM)] == ["2026-12-14", "2026-11-23"]
    assert [each.week for each in codes_of(store, SYSTEM, company)] == ["2026-12-14", "2026-11-23"]
    assert make(store, later + DAY_S) == 0


def test_a_run_that_failed_half_way_goes_on_where_it_stopped(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    companies = [add_company(store, f"УК {n}") for n in range(5)]
    real, left = code_runs._make, [2]

    def breaks(*args: object, **options: object) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("the power is gone")
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(code_runs, "_make", breaks)
    with pytest.raises(RuntimeError):
        make_codes(store, SETTINGS, MONDAY, billing=False)
    made = {each: code(store, each) for each in companies if code(store, each)}
    assert len(made) == 2
    (run,) = runs(store, SYSTEM)
    assert (run.made, run.companies, run.ended_at) == (2, 3, None)

    monkeypatch.undo()
    assert make(store, MONDAY + 3600) == 3
    assert {each: code(store, each) for each in made} == made
    assert all(code(store, each) for each in companies)
    (run,) = runs(store, SYSTEM)
    assert (run.made, run.companies, run.ended_at) == (5, 0, MONDAY + 3600)


def test_a_crash_within_a_companys_code_leaves_nothing_of_it(
    store: Store, houses: Houses, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = houses.house("5")
    houses.panel("p1", houses.entrance("п. 1", house))
    company = add_company(store, "Альфа", house)

    def breaks(*args: object, **options: object) -> None:
        raise RuntimeError("the power is gone")

    monkeypatch.setattr(code_runs, "note_change", breaks)  # the last step
    with pytest.raises(RuntimeError):
        make_codes(store, SETTINGS, MONDAY, billing=False)
    assert code(store, company) == ""
    assert panels_to_tell(store) == {}
    assert codes_of(store, SYSTEM, company) == []


def test_a_run_that_never_ended_is_made_up_for_by_the_next(store: Store) -> None:
    company = add_company(store, "Альфа")
    assert code_runs.start_run(store, Week("2026-11-16", MONDAY - 7 * DAY_S), MONDAY - 7 * DAY_S)
    assert make(store) == 1
    newest, older = runs(store, SYSTEM)
    assert (older.made, older.ended_at) == (0, MONDAY)
    assert (newest.made, newest.week) == (1, "2026-11-23")
    assert len(codes_of(store, SYSTEM, company)) == 1


def test_a_company_that_had_one_by_hand_since_monday_keeps_it(store: Store) -> None:
    early, late = add_company(store, "Альфа"), add_company(store, "Бета")
    make_by_hand(store, SYSTEM, early, 5, MONDAY - 60, billing=False)
    kept = make_by_hand(store, SYSTEM, late, 5, MONDAY + 60, billing=False)
    assert make(store, MONDAY + 3600) == 1
    assert code(store, late) == kept.code
    assert codes_of(store, SYSTEM, early)[0].week == "2026-11-23"


def test_two_processes_make_a_run_once(store: Store, url: str) -> None:
    companies = [add_company(store, f"УК {n}") for n in range(12)]
    together = threading.Barrier(2)
    made: list[int] = []

    def process() -> None:
        with Store(url) as own:
            own.check()
            together.wait(10)
            made.append(make(own))

    threads = [threading.Thread(target=process) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert sum(made) == 12
    assert len(runs(store, SYSTEM)) == 1
    assert [len(codes_of(store, SYSTEM, each)) for each in companies] == [1] * 12
    assert len({code(store, each) for each in companies}) == 12


# --- no code twice -------------------------------------------------------------------------------------------------


def draws(monkeypatch: pytest.MonkeyPatch, *codes: int) -> None:
    """What chance brings next."""
    left = list(codes)
    monkeypatch.setattr("crm.companies.codes.secrets.randbelow", lambda _: left.pop(0) - 10_000)


def test_no_code_comes_twice_within_a_year_at_whatever_company(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = add_company(store, "Альфа"), add_company(store, "Бета")

    def drawn(company: int, now: float, *codes: int) -> str:
        draws(monkeypatch, *codes)
        return make_by_hand(store, SYSTEM, company, 5, now, billing=False).code

    assert drawn(first, MONDAY, 48213) == "48213"
    assert drawn(second, MONDAY + 1, 48213, 71724) == "71724"  # it holds at another
    assert drawn(first, MONDAY + 7 * DAY_S, 48213, 90517) == "90517"
    assert (
        drawn(second, MONDAY + 365 * DAY_S, 48213, 33871) == "33871"
    )  # it held until a week after it was made
    assert drawn(second, MONDAY + 374 * DAY_S, 48213) == "48213"
    assert drawn(second, MONDAY + 740 * DAY_S, 90517, 52160) == "52160"  # the first one has it until now


def test_no_code_left_stops_the_run_and_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    add_company(store, "Альфа")
    monkeypatch.setattr("crm.companies.codes.secrets.randbelow", lambda _: 2345)
    with pytest.raises(NoCodesLeft):
        make_codes(store, SETTINGS, MONDAY, billing=False)
    assert open_run(store) is not None


# --- panels --------------------------------------------------------------------------------------------------------


def test_a_code_goes_to_every_active_panel_of_the_companys_houses(store: Store, houses: Houses) -> None:
    mine, others = houses.house("5"), houses.house("7")
    own = houses.panel("p1", houses.entrance("п. 1", mine))
    off = houses.panel("p2", houses.entrance("п. 2", mine), active=False)
    theirs = houses.panel("p3", houses.entrance("п. 1", others))
    gate = houses.panel("p4", houses.entrance("ворота", mine, others))
    company = add_company(store, "Альфа", mine)
    made = make_by_hand(store, SYSTEM, company, 5, MONDAY, billing=False)
    assert panels_to_tell(store) == {own: made.code, gate: made.code}
    assert made.panels == 2
    assert {off, theirs}.isdisjoint(panels_to_tell(store))


def test_a_superseded_code_is_brought_to_no_more_panels(store: Store, houses: Houses) -> None:
    house = houses.house("5")
    told, untold = (houses.panel(f"p{n}", houses.entrance(f"п. {n}", house)) for n in (1, 2))
    company = add_company(store, "Альфа", house)
    old = make_by_hand(store, SYSTEM, company, 5, MONDAY, billing=False)
    with store.transaction() as connection:
        mine = DELIVERIES.c.domophone_id == told
        connection.execute(sa.update(DELIVERIES).where(mine).values(done_at=MONDAY + 5))
    new = make_by_hand(store, SYSTEM, company, 5, MONDAY + 60, billing=False)
    assert panels_to_tell(store) == {told: new.code, untold: new.code}
    ended = codes_of(store, SYSTEM, company)[1]
    assert (ended.id, ended.ended_at, ended.panels, ended.panels_done) == (old.id, MONDAY + 60, 1, 1)


def test_a_panel_that_comes_later_is_told_the_code_that_holds(store: Store, houses: Houses) -> None:
    house, other = houses.house("5"), houses.house("7")
    entrance = houses.entrance("п. 1", house)
    first = houses.panel("p1", entrance)
    company = add_company(store, "Альфа", house)
    idle = add_company(store, "Бета", other)
    make_by_hand(store, SYSTEM, company, 5, MONDAY, billing=False)
    held = make_by_hand(store, SYSTEM, company, 5, MONDAY + 1, billing=False)
    make_by_hand(store, SYSTEM, idle, 5, MONDAY, billing=False)
    assert deliver_missing(store, MONDAY + 2) == 0
    second = houses.panel("p2", entrance)
    houses.panel("p3", entrance, active=False)
    houses.panel("p4", houses.entrance("п. 1", other))
    with store.transaction() as connection:
        connection.execute(sa.update(COMPANIES).where(COMPANIES.c.id == idle).values(active=False))
    assert deliver_missing(store, MONDAY + 3) == 1
    assert deliver_missing(store, MONDAY + 4) == 0
    assert panels_to_tell(store) == {first: held.code, second: held.code}


# --- by hand, and who may ------------------------------------------------------------------------------------------


def test_by_hand_it_is_in_the_history_with_who_made_it(store: Store) -> None:
    company = add_company(store, "Альфа")
    who = Who("employee:1", "Ирина", Rights({Right.CODES_MAKE: EVERYWHERE}))
    made = make_by_hand(store, who, company, 6, MONDAY, billing=False)
    assert (made.made_by, made.week, len(made.code)) == ("Ирина", "", 6)
    assert made.code not in repr(made)
    with store.reading() as connection:
        change = connection.execute(sa.text("SELECT * FROM changes")).one()
    assert (change.who, change.entity, change.entity_id, change.action) == (
        "Ирина",
        "company",
        company,
        "code",
    )
    assert made.code not in change.after


def test_an_inactive_company_gets_none_by_hand(store: Store) -> None:
    company = add_company(store, "Альфа", active=False)
    with pytest.raises(Conflict, match="Альфа is not active"):
        make_by_hand(store, SYSTEM, company, 5, MONDAY, billing=False)


def test_nobody_sees_or_makes_codes_beyond_ones_houses(store: Store, houses: Houses) -> None:
    mine, half, other = (houses.house(str(n)) for n in range(3))
    own = add_company(store, "Альфа", mine)
    foreign = add_company(store, "Бета", half, other)
    homeless = add_company(store, "Гамма")
    for company in (own, foreign, homeless):
        make_by_hand(store, SYSTEM, company, 5, MONDAY, billing=False)
    both = (Right.CODES_VIEW, Right.CODES_MAKE)
    manager = Who("employee:1", "Ирина", Rights(dict.fromkeys(both, Reach(companies=frozenset({own})))))
    crew = Who("employee:2", "Олег", Rights(dict.fromkeys(both, Reach(houses=frozenset({mine, half})))))
    for who in (manager, crew):
        assert [each.company for each in codes_that_hold(store, who)] == ["Альфа"]
        made = make_by_hand(store, who, own, 5, MONDAY, billing=False)
        assert codes_of(store, who, own)[0] == made
        before = code(store, foreign)
        for company in (foreign, homeless):
            with pytest.raises(NotFound):
                codes_of(store, who, company)
            with pytest.raises(NotFound):
                make_by_hand(store, who, company, 5, MONDAY, billing=False)
        assert code(store, foreign) == before
        with pytest.raises(Forbidden):
            code_runs.tell_again(store, who, own, MONDAY)
        assert sum(each.ended_at is None for each in codes_of(store, SYSTEM, own)) == 1


# --- billing -------------------------------------------------------------------------------------------------------


def test_billing_is_told_of_each_company_with_its_code(store: Store, world: World) -> None:
    company = add_company(store, "Альфа")
    make_codes(store, SETTINGS, MONDAY, billing=True)
    assert tell_due(store, world.client, world.settings, lambda: MONDAY).told == 1
    assert [each.path for each in world.fake.asked] == [f"/billing/companies/teledom-{company}"]
    told = world.fake.companies[f"B{company}"]
    assert told == {
        "name": "Альфа",
        "inn": "7451000000",
        "active": True,
        "code": code(store, company),
        "code_since": "2026-11-23T02:00:00Z",
    }
    run = open_run(store)
    assert run is not None
    assert end_run(store, run, MONDAY + 1)
    make_by_hand(store, SYSTEM, company, 5, MONDAY + 60, billing=True)
    tell_due(store, world.client, world.settings, lambda: MONDAY + 60)
    assert world.fake.asked[-1].path == f"/billing/companies/B{company}"  # by the id that it gave
    assert world.fake.companies[f"B{company}"]["code"] == code(store, company)


def test_a_run_goes_on_until_billing_that_was_away_knows_its_codes(store: Store, world: World) -> None:
    for n in range(3):
        add_company(store, f"УК {n}")
    make_codes(store, SETTINGS, MONDAY, billing=True)
    world.fake.script.append(Fault.NONE)  # the first gets through
    world.fake.fault = Fault.AWAY
    told = tell_due(store, world.client, world.settings, lambda: MONDAY)
    assert told.told == 1
    assert told.away
    run = open_run(store)
    assert run is not None
    assert not end_run(store, run, MONDAY)
    assert runs(store, SYSTEM)[0].untold == 2

    world.fake.fault = Fault.NONE
    assert tell_due(store, world.client, world.settings, lambda: MONDAY + 3600).told == 2
    assert end_run(store, run, MONDAY + 3600)
    assert len(world.fake.companies) == 3


def test_pauses_between_tries_grow(store: Store, world: World) -> None:
    company = add_company(store, "Альфа")
    made = make_by_hand(store, SYSTEM, company, 5, MONDAY, billing=True)
    world.fake.fail_companies.add("Альфа")
    now, pauses = MONDAY, []
    for tries in range(1, 10):
        assert "this company is not ours" in tell_code(store, world.client, world.settings, made.id, now)
        (held,) = codes_of(store, SYSTEM, company)
        assert held.billing_tries == tries
        assert held.billing_due_at is not None
        assert codes_to_tell(store, now) == []
        pauses.append(held.billing_due_at - now)
        now = held.billing_due_at
    assert pauses[0] == pytest.approx(30, rel=0.21)
    assert pauses[3] == pytest.approx(240, rel=0.21)
    assert pauses[-1] == pytest.approx(3600, rel=0.21)
    world.fake.fail_companies.clear()
    assert tell_code(store, world.client, world.settings, made.id, now) == ""
    (held,) = codes_of(store, SYSTEM, company)
    assert (held.billing_at, held.billing_due_at, held.billing_error) == (now, None, "")


def test_one_company_that_billing_refuses_holds_up_no_other(store: Store, world: World) -> None:
    for name in ("Альфа", "Бета", "Гамма"):
        add_company(store, name)
    world.fake.fail_companies.add("Альфа")
    make_codes(store, SETTINGS, MONDAY, billing=True)
    told = tell_due(store, world.client, world.settings, lambda: MONDAY)
    assert (told.told, len(told.refused), told.away) == (2, 1, "")


def test_a_crash_between_telling_and_noting_tells_again(
    store: Store, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = add_company(store, "Альфа")
    made = make_by_hand(store, SYSTEM, company, 5, MONDAY, billing=True)

    def breaks(*args: object) -> None:
        raise RuntimeError("the power is gone")

    monkeypatch.setattr("crm.companies.code_billing._note_told", breaks)
    with pytest.raises(RuntimeError):
        tell_code(store, world.client, world.settings, made.id, MONDAY)
    monkeypatch.undo()
    assert codes_to_tell(store, MONDAY + 1) == []  # another process may be at it
    later = MONDAY + 120
    assert codes_to_tell(store, later) == [made.id]
    assert tell_code(store, world.client, world.settings, made.id, later) == ""
    assert len(world.fake.companies) == 1


def test_of_a_superseded_code_billing_is_told_no_more(store: Store, world: World) -> None:
    company = add_company(store, "Альфа")
    make_by_hand(store, SYSTEM, company, 5, MONDAY, billing=True)
    world.fake.fault = Fault.AWAY
    tell_due(store, world.client, world.settings, lambda: MONDAY)
    new = make_by_hand(store, SYSTEM, company, 5, MONDAY + 1, billing=True)
    world.fake.fault = Fault.NONE
    assert tell_due(store, world.client, world.settings, lambda: MONDAY + DAY_S).told == 1
    assert world.fake.companies[f"B{company}"]["code"] == new.code


def test_an_id_that_another_company_has_in_billing_is_refused(store: Store, world: World) -> None:
    first, second = add_company(store, "Альфа"), add_company(store, "Бета")
    with store.transaction() as connection:
        taken = sa.update(COMPANIES).where(COMPANIES.c.id == first).values(billing_id=f"B{second}")
        connection.execute(taken)
    made = make_by_hand(store, SYSTEM, second, 5, MONDAY, billing=True)
    why = tell_code(store, world.client, world.settings, made.id, MONDAY)
    assert f"it has the id B{second} there, which is Альфа's" in why


def test_asked_again_by_hand_billing_is_told_of_the_code_that_holds(store: Store, world: World) -> None:
    company = add_company(store, "Альфа")
    assert not code_runs.tell_again(store, SYSTEM, company, MONDAY)
    make_by_hand(store, SYSTEM, company, 5, MONDAY, billing=False)
    assert tell_due(store, world.client, world.settings, lambda: MONDAY).told == 0
    assert code_runs.tell_again(store, SYSTEM, company, MONDAY)
    assert tell_due(store, world.client, world.settings, lambda: MONDAY).told == 1


def test_a_company_of_a_deleted_house_still_gets_codes(store: Store, houses: Houses) -> None:
    house = houses.house("5")
    company = add_company(store, "Альфа", house)
    with store.transaction() as connection:
        connection.execute(sa.delete(House).where(House.id == house))
    assert make(store) == 1
    assert make_next(store, 1, 5, MONDAY, billing=False) is None
    assert code(store, company)


def test_billing_hears_once_more_of_a_company_that_is_not_active_any_more(store: Store, world: World) -> None:
    company, unknown = add_company(store, "Альфа"), add_company(store, "Бета")
    make_by_hand(store, SYSTEM, company, 5, MONDAY, billing=True)
    make_by_hand(store, SYSTEM, unknown, 5, MONDAY, billing=False)
    tell_due(store, world.client, world.settings, lambda: MONDAY)
    with store.transaction() as connection:
        connection.execute(sa.update(COMPANIES).values(active=False))
        end_code(connection, company, MONDAY + 1)
        end_code(connection, unknown, MONDAY + 1)
    told = tell_due(store, world.client, world.settings, lambda: MONDAY + 2)
    assert (told.told, told.refused) == (1, ())
    assert [each["active"] for each in world.fake.companies.values()] == [False]
    assert code(store, company) == code(store, unknown) == ""
