"""What somebody may see of 112, and have done: pools, who stands behind a number, leases, panels overdue, test calls.

Pages and the API come through here: nobody sees panels beyond his reach, nor pools of cities in which he has no house. Of
his cities' pools he sees how many numbers are free, and those that panels of his have; not the calls of others.
Synchronous; raises crm.who's Refused errors, DatabaseAway and SchemaMismatch (crm.store). Times are UTC, in seconds since
the epoch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from attrs import evolve, frozen

from config import DEFAULT, Config
from crm.changes import note_change
from crm.rights import Reach, Right
from crm.sos.leases import Owner, find_lease, find_leases
from crm.sos.leases import who as owner_of
from crm.sos.panels import SosPanel
from crm.sos.reach import cities_within, panels_within
from crm.sos.stands import NumberStands, PoolStands, number_stands, pools_stand
from crm.sos.test_plan import with_test_number
from crm.sos.tests import (
    NoSuchPanel,
    Overdue,
    PanelTest,
    ask_test,
    get_test,
    name_panel,
    overdue,
    withdraw_test,
)
from crm.sos.text import cities, places_of
from crm.store import Store
from crm.values.sos import Lease, Standing
from crm.who import Conflict, Invalid, NotFound, Who

TEST_ENTITY = "sos_test"


@frozen
class Pools:
    """The pools within the viewer's reach, and the panels that stand behind their numbers, by SIP user.

    `whole`: he sees all there are, and every number of them.
    """

    pools: Sequence[PoolStands]
    places: Mapping[str, SosPanel]
    whole: bool


@frozen
class Answer:
    """Who stood behind a number `at` a time: `address` is "" where no active panel has the SIP user any more.

    `stands` is how the number stood then; None: the number is the panel's own.
    """

    owner: Owner
    at: float
    address: str
    stands: NumberStands | None


@frozen(kw_only=True)
class LeaseFilter:
    """Which leases: of a city, a number, a panel (SIP user or MAC), begun from `since` to `until`.

    `after` is the `next` of the part of the list before.
    """

    fias: str = ""
    number: str = ""
    panel: str = ""
    since: float | None = None
    until: float | None = None
    after: str = ""


@frozen
class Leases:
    """A part of the history. `next` is the id of its last lease where more come after it; `places` by SIP user."""

    leases: Sequence[Lease]
    places: Mapping[str, SosPanel]
    next: str


def pools(settings: Config, store: Store, who: Who, now: float) -> Pools:
    """How the numbers of the pools within reach stand."""
    who.need(Right.SOS_VIEW)
    reach = who.rights.reach(Right.SOS_VIEW)
    found = pools_stand(settings, store, now)
    mine = panels_within(store, reach)
    if mine is not None:
        near = fias_within(settings, store, reach)
        found = [_within(pool, mine) for pool in found if pool.whole.fias in near]
    behind = {each.lease.panel for pool in found for each in pool.numbers if each.lease and each.standing}
    return Pools(found, places_of(store, behind, reach), mine is None)


def fias_within(settings: Config, store: Store, reach: Reach) -> frozenset[str]:
    """The FIAS ids of the pools that panels within reach borrow from; of cities without a dispatch the default one's."""
    near = cities_within(store, reach)
    served = {each.fias for name, each in settings.dispatch.items() if name != DEFAULT}
    default = settings.dispatch[DEFAULT].fias if DEFAULT in settings.dispatch else ""
    if near is None:
        return frozenset(served | {default} | {fias for fias, _ in cities(store)})
    return near | {default} if near - served else near


def _within(pool: PoolStands, mine: frozenset[str]) -> PoolStands:
    """A pool without what panels beyond have of it: that their numbers are not free, and nothing more."""

    def seen(number: NumberStands) -> NumberStands | None:
        if number.lease is None or number.lease.panel in mine:
            return number
        return evolve(number, lease=None) if number.standing is Standing.FREE else None

    numbers = [each for each in map(seen, pool.numbers) if each is not None]
    standings = [each.standing for each in numbers if not each.reserve]
    whole = evolve(
        pool.whole,
        kept=standings.count(Standing.EXPIRED),
        guaranteed=standings.count(Standing.HELD),
        in_call=standings.count(Standing.IN_CALL),
    )
    return PoolStands(whole=whole, numbers=numbers)


def who_was(
    settings: Config, store: Store, who: Who, number: str, at: float | None, now: float
) -> Answer | None:
    """Which panel stood behind a number, now or at a time. None: none that may be seen."""
    who.need(Right.SOS_VIEW)
    if at is not None and not math.isfinite(at):
        raise Invalid({"at": "a time is expected"})
    owner = owner_of(store, number, at)
    reach = who.rights.reach(Right.SOS_VIEW)
    mine = panels_within(store, reach)
    if owner is None or (mine is not None and owner.panel not in mine):
        return None
    places = places_of(store, [owner.panel], reach)
    moment = now if at is None else at
    stands = number_stands(settings.sos, owner.number, owner.lease, moment) if owner.lease else None
    address = places[owner.panel].address if owner.panel in places else ""
    return Answer(owner, moment, address, stands)


def leases(store: Store, who: Who, asked: LeaseFilter, limit: int = 50) -> Leases:
    """The newest leases first. Raises Invalid."""
    who.need(Right.SOS_VIEW)
    behind = find_lease(store, asked.after) if asked.after else None
    if asked.after and behind is None:
        raise Invalid({"after": "this is no cursor of this list: begin at its first page"})
    reach = who.rights.reach(Right.SOS_VIEW)
    found = find_leases(
        store,
        fias=asked.fias or None,
        number=asked.number or None,
        panel=asked.panel or None,
        since=asked.since,
        until=asked.until,
        behind=behind,
        reach=reach,
        limit=limit + 1,
    )
    shown = found[:limit]
    next = shown[-1].id if len(found) > limit else ""
    return Leases(shown, places_of(store, (lease.panel for lease in shown), reach), next)


def overdue_panels(settings: Config, store: Store, who: Who, now: float) -> list[Overdue]:
    """Panels whose 112 has been tested too long ago, the worst first. None is where tests are switched off."""
    who.need(Right.SOS_VIEW)
    if not settings.sos.test_days:
        return []
    reach = who.rights.reach(Right.SOS_VIEW)
    mine = panels_within(store, reach)
    found = overdue(store, settings.sos.test_days, now, with_test_number(settings.dispatch))
    if mine is None:
        return found
    seen = [each for each in found if each.panel.sip_user in mine]
    places = places_of(store, (each.panel.sip_user for each in seen), reach)
    return [evolve(each, panel=places.get(each.panel.sip_user, each.panel)) for each in seen]


def ask_for_test(store: Store, who: Who, panel: str, now: float) -> PanelTest:
    """Have a panel's 112 tested at once: its SIP user or MAC. Raises NotFound."""
    who.need(Right.SOS_EDIT)
    mine = panels_within(store, who.rights.reach(Right.SOS_EDIT))
    missing = f"no active panel has the SIP user or MAC {panel!r}: see its house in the CRM"
    try:
        with store.reading() as connection:
            sip_user = name_panel(connection, panel)
        if mine is not None and sip_user not in mine:
            raise NotFound(missing)
        id = ask_test(store, sip_user, now)
    except NoSuchPanel:
        raise NotFound(missing) from None
    with store.transaction() as connection:
        note_change(connection, who, TEST_ENTITY, id, "create", None, {"panel": sip_user}, at=now)
    return PanelTest(id=id, panel=sip_user, by_hand=True, due_at=now)


def take_back(store: Store, who: Who, id: int, now: float) -> None:
    """Take a test back that no node has begun. Raises NotFound, Conflict."""
    who.need(Right.SOS_EDIT)
    mine = panels_within(store, who.rights.reach(Right.SOS_EDIT))
    test = get_test(store, id)
    if test is None or (mine is not None and test.panel not in mine):
        raise NotFound(f"there is no test {id}")
    if not test.by_hand or not withdraw_test(store, id):
        raise Conflict("it cannot be taken back: a node has begun it, or it is a planned one")
    with store.transaction() as connection:
        note_change(connection, who, TEST_ENTITY, id, "delete", {"panel": test.panel}, at=now)
