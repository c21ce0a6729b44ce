"""Leases and test calls of 112 for people, in columns, and as plain values for JSON; and where their panels are.

Clock times are those of this machine's zone. What a stranger may have written is shown without control characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import sqlalchemy as sa

from crm.columns import local, table
from crm.model import City
from crm.rights import EVERYWHERE, Reach
from crm.sos.panels import SosPanel, read_some
from crm.sos.tests import READ_CHUNK, Overdue, PanelTest
from crm.store import Store
from crm.values.sos import Lease, Why

_WHY = {
    Why.OWN_LEASE: "lent to this panel already",
    Why.FREE: "free, the longest unused",
    Why.EXPIRED: "kept for another panel, whose guarantee was over",
    Why.BROKEN: "guaranteed to another panel: none else was left",
}
_CAME = {True: "passed", False: "failed", None: "not made"}


def mac(plain: str) -> str:
    """A MAC as it stands on the panel: 02:50:00:07:a1:21."""
    return ":".join(plain[n : n + 2] for n in range(0, len(plain), 2))


def why(lease: Lease) -> str:
    """Why this number was lent, in words."""
    return _WHY[lease.why]


def outcome(test: PanelTest) -> str:
    """What came of a test, in words."""
    return f"{_CAME[test.passed]}: {test.result}"


# --- lists ---------------------------------------------------------------------------------------------------------


def leases(found: Sequence[Lease], places: Mapping[str, SosPanel]) -> list[str]:
    return table(
        ("STARTED", "ENDED", "HELD UNTIL", "NUMBER", "PANEL", "ADDRESS", "CALL", "WHY"),
        [
            (
                *map(local, (each.started_at, each.ended_at, each.held_until)),
                *(each.number, each.panel, address(places, each.panel), each.call_id, why(each)),
            )
            for each in found
        ],
    )


def tests(found: Sequence[PanelTest], places: Mapping[str, SosPanel]) -> list[str]:
    return table(
        ("STARTED", "PANEL", "ADDRESS", "ASKED", "RESULT", "CALL"),
        [
            (
                *(local(each.started_at), each.panel, address(places, each.panel)),
                *("by hand" if each.by_hand else "planned", outcome(each), each.call_id),
            )
            for each in found
        ],
    )


def overdue(found: Sequence[Overdue]) -> list[str]:
    return table(
        ("LAST PASSED", "PANEL", "MAC", "ADDRESS", "LAST RESULT"),
        [
            (
                *(local(each.passed_at) or "never", each.panel.sip_user, mac(each.panel.mac)),
                *(each.panel.address, outcome(each.last) if each.last is not None else ""),
            )
            for each in found
        ],
    )


def lease_json(lease: Lease, places: Mapping[str, SosPanel]) -> dict[str, Any]:
    return attrs.asdict(lease) | {"why": lease.why.value, "address": address(places, lease.panel)}


def test_json(test: PanelTest, places: Mapping[str, SosPanel]) -> dict[str, Any]:
    return attrs.asdict(test) | {"address": address(places, test.panel)}


def overdue_json(each: Overdue) -> dict[str, Any]:
    panel = {"panel": each.panel.sip_user, "domophone": each.panel.mac, "address": each.panel.address}
    last = attrs.asdict(each.last) if each.last is not None else None
    return panel | {"passed_at": each.passed_at, "last": last}


# --- where they are ------------------------------------------------------------------------------------------------


def places_of(store: Store, sip_users: Iterable[str], reach: Reach = EVERYWHERE) -> dict[str, SosPanel]:
    """Those of some panels that are active, at houses within `reach`. Raises DatabaseAway, SchemaMismatch."""
    asked = sorted(set(sip_users))
    with store.reading() as connection:
        found = [
            panel
            for n in range(0, len(asked), READ_CHUNK)
            for panel in read_some(connection, asked[n : n + READ_CHUNK], reach)
        ]
    return {panel.sip_user: panel for panel in found}


def address(places: Mapping[str, SosPanel], sip_user: str) -> str:
    return places[sip_user].address if sip_user in places else ""


def cities(store: Store) -> list[tuple[str, str]]:
    """The FIAS id and the name of each city that has an id. Raises DatabaseAway, SchemaMismatch."""
    query = sa.select(City.fias, City.name).where(City.fias.is_not(None)).order_by(City.name)
    with store.reading() as connection:
        return [(fias or "", name) for fias, name in connection.execute(query)]
