"""Which number is lent: the order of the choice, and what no order of calls, ends and call-backs can bring about."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from actors.sos_rules import Pool
from crm.values.sos import Holding, Lease, Standing, Why

HOLD, KEEP, LONGEST = 1800.0, 10_800.0, 3600.0


def pool_of(*numbers: str, reserve: tuple[str, ...] = ()) -> Pool:
    pool = Pool("city", Holding(HOLD, KEEP, LONGEST))
    pool.set([(number, False, None) for number in numbers] + [(number, True, None) for number in reserve])
    return pool


def call(pool: Pool, panel: str, at: float, lasts: float = 60.0, *, away: bool = False) -> Lease:
    """One call from a panel, from its lease to its end."""
    lease = pool.lend(panel, panel, f"{panel}@{at:g}", "node", at, away=away)[-1]
    pool.ended(lease.number, lease.call_id, at + lasts)
    return lease


def test_a_panel_gets_its_own_number_again_as_long_as_it_is_kept() -> None:
    pool = pool_of("1", "2", "3")
    assert call(pool, "a", 0).number == "1"
    again = call(pool, "a", 5000)
    assert (again.number, again.why) == ("1", Why.OWN_LEASE)
    later = call(pool, "a", 5000 + 60 + KEEP)
    assert (later.number, later.why) == ("2", Why.FREE)


def test_of_free_numbers_the_one_longest_unused_is_lent() -> None:
    pool = pool_of("1", "2", "3")
    assert [call(pool, panel, at).number for panel, at in (("a", 0), ("b", 100), ("c", 200))] == [
        "1",
        "2",
        "3",
    ]
    assert call(pool, "d", 300 + KEEP).number == "1"


def test_an_expired_guarantee_goes_before_one_that_stands_the_oldest_first() -> None:
    pool = pool_of("1", "2")
    call(pool, "a", 0)
    call(pool, "b", 1000)
    lease = call(pool, "c", 60 + HOLD)
    assert (lease.number, lease.why) == ("1", Why.EXPIRED)


def test_a_dry_pool_lends_the_number_whose_call_ended_longest_ago() -> None:
    pool = pool_of("1", "2")
    call(pool, "a", 0, lasts=500)
    call(pool, "b", 10, lasts=60)
    lease = call(pool, "c", 600)
    assert (lease.number, lease.why) == ("2", Why.BROKEN)


def test_when_all_numbers_are_in_calls_the_oldest_call_has_to_share() -> None:
    pool = pool_of("1", "2")
    for panel, at in (("a", 0), ("b", 10)):
        pool.lend(panel, panel, panel, "node", at)
    closed, lease = pool.lend("c", "c", "c", "node", 20)
    assert (lease.number, lease.why) == ("1", Why.BROKEN)
    assert (closed.panel, closed.ended_at) == ("a", 20)


def test_the_reserve_comes_after_the_other_free_ones_and_first_while_the_database_is_away() -> None:
    pool = pool_of("1", "2", reserve=("9",))
    assert [call(pool, panel, 0).number for panel in "abc"] == ["1", "2", "9"]
    pool = pool_of("1", "2", reserve=("9",))
    assert [call(pool, panel, 0, away=True).number for panel in "abc"] == ["9", "1", "2"]


def test_a_call_that_asks_twice_gets_the_same_lease() -> None:
    pool = pool_of("1", "2")
    (first,) = pool.lend("a", "a", "call", "node", 0)
    assert pool.lend("a", "a", "call", "node", 5) == [first]


def test_a_call_back_extends_the_lease_however_often() -> None:
    pool = pool_of("1", "2")
    call(pool, "a", 0)
    at = 60.0
    for n in range(3):
        lease = pool.extend("1", f"back{n}", "node", at + 1000)
        assert lease is not None
        assert lease.panel == "a"
        assert pool.standing(pool.numbers["1"], at + 1000) is Standing.IN_CALL
        at += 1060
        ended = pool.ended("1", f"back{n}", at)
        assert ended is not None
        assert ended.held_until == at + HOLD


def test_who_had_a_number_last_is_known_long_after_it_is_free() -> None:
    pool = pool_of("1", "2")
    call(pool, "a", 0)
    at = 60 + 10 * KEEP
    assert pool.standing(pool.numbers["1"], at) is Standing.FREE
    lease = pool.last("1")
    assert lease is not None
    assert lease.panel == "a"
    pool.extend("1", "back", "node", at)
    assert call(pool, "b", at).number == "2"


def test_a_call_whose_end_was_lost_does_not_hold_its_number_for_ever() -> None:
    pool = pool_of("1")
    (lease,) = pool.lend("a", "a", "call", "other", 0)
    pool.set([("1", False, lease)])  # as another node sees it
    pool.numbers["1"].calls.clear()
    assert pool.standing(pool.numbers["1"], LONGEST - 1) is Standing.IN_CALL
    assert pool.standing(pool.numbers["1"], LONGEST + 1) is Standing.HELD
    assert pool.standing(pool.numbers["1"], LONGEST + HOLD) is Standing.EXPIRED
    assert pool.standing(pool.numbers["1"], LONGEST + KEEP) is Standing.FREE


class AnyOrder(RuleBasedStateMachine):
    """Calls, ends, call-backs, restarts and time in any order, against what must hold in each."""

    calls = Bundle("calls")

    @initialize(size=st.integers(1, 5), reserve=st.integers(0, 2))
    def start(self, size: int, reserve: int) -> None:
        self.pool = pool_of(*map(str, range(size)), reserve=tuple(f"r{n}" for n in range(reserve)))
        self.now = 1_000_000.0
        self.count = 0
        self.going_on: dict[str, Lease] = {}
        self.stored = {number: each.lease for number, each in self.pool.numbers.items()}

    def keep(self, leases: list[Lease]) -> None:
        for lease in leases:
            self.stored[lease.number] = lease

    @rule(target=calls, panel=st.sampled_from("abcdefgh"), away=st.booleans(), crash=st.booleans())
    def press(self, panel: str, away: bool, crash: bool) -> str:
        self.count += 1
        call_id = f"call{self.count}"
        stands = {n: self.pool.standing(each, self.now) for n, each in self.pool.numbers.items()}
        had = {n: each.lease for n, each in self.pool.numbers.items()}
        changed = self.pool.lend(panel, panel, call_id, "node", self.now, away=away)
        assert changed, "no call is refused"
        lease = changed[-1]
        own = [
            n for n, each in had.items() if each and each.panel == panel and stands[n] is not Standing.FREE
        ]
        if own:
            assert lease.number in own
        elif Standing.FREE in stands.values():
            assert stands[lease.number] is Standing.FREE, "lent to two panels while free ones exist"
        elif Standing.EXPIRED in stands.values():
            assert stands[lease.number] is Standing.EXPIRED, "a guarantee broken while another way is left"
        assert (lease.why is Why.BROKEN) == (not own and stands[lease.number] >= Standing.HELD)
        if crash:  # before the commit: the call is made again, by the next node
            self.pool.set([(n, each.reserve, self.stored[n]) for n, each in self.pool.numbers.items()])
            self.going_on = {
                c: each for c, each in self.going_on.items() if each == self.stored.get(each.number)
            }
            changed = self.pool.lend(panel, panel, call_id, "node", self.now, away=away)
        self.keep(changed)
        self.going_on[call_id] = changed[-1]
        return call_id

    @rule(call_id=calls)
    def end(self, call_id: str) -> None:
        lease = self.going_on.pop(call_id, None)
        if lease is not None and (ended := self.pool.ended(lease.number, call_id, self.now)):
            self.keep([ended])

    @rule(data=st.data())
    def call_back(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.pool.numbers)))
        had = self.stored[number]
        self.count += 1
        lease = self.pool.extend(number, f"back{self.count}", "node", self.now)
        assert (lease is None) == (had is None)
        if lease is not None and had is not None:
            assert lease.panel == had.panel, "a call-back reaches who had the number last"
            self.keep([lease])
            self.going_on[f"back{self.count}"] = lease

    @rule(after=st.floats(1, 20_000))
    def time_goes_on(self, after: float) -> None:
        self.now += after

    @rule(carried=st.booleans())
    def restart(self, carried: bool) -> None:
        """A node that dies and comes again, and finds its calls in Asterisk, or not."""
        self.pool = Pool("city", Holding(HOLD, KEEP, LONGEST))
        self.pool.set([(n, n.startswith("r"), lease) for n, lease in self.stored.items()])
        if carried:
            for call_id, lease in self.going_on.items():
                self.pool.numbers[lease.number].calls.add(call_id)
        else:
            self.going_on.clear()
            self.keep(self.pool.lost("node", self.now))

    @invariant()
    def every_guarantee_stands_as_it_was_given(self) -> None:
        for number, lease in getattr(self, "stored", {}).items():
            here = self.pool.numbers[number].lease
            assert here == lease, "what is stored is what is known"
            if lease is not None and lease.ended_at is not None and lease.held_until != lease.ended_at:
                assert lease.held_until == lease.ended_at + HOLD
                if self.now < lease.held_until:
                    assert self.pool.standing(self.pool.numbers[number], self.now) >= Standing.HELD


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
