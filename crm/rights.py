"""What somebody may do in the CRM, and how far: rights, and the houses within which they hold.

A group is a named set of rights, everywhere or bounded to cities, companies or houses. Who is in several groups has,
for each right, the reach of all groups that give it. What hangs on no house (cities, groups, kinds of block) is changed
only by who has the right everywhere. `Reach.houses` is the one place where "nobody sees beyond" becomes SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum

import sqlalchemy as sa
from attrs import field, frozen

from crm.model import House


class Right(Enum):
    """What one may do; a group holds any of them."""

    HOUSING_VIEW = "housing.view"
    HOUSING_EDIT = "housing.edit"
    PEOPLE_VIEW = "people.view"
    PEOPLE_EDIT = "people.edit"
    COMPANIES_VIEW = "companies.view"
    COMPANIES_EDIT = "companies.edit"
    CODES_VIEW = "codes.view"  # see a company's access code
    CODES_MAKE = "codes.make"  # make a new one by hand
    DEVICES_VIEW = "devices.view"
    DEVICES_EDIT = "devices.edit"
    DOORS_OPEN = "doors.open"
    KEYS_VIEW = "keys.view"
    KEYS_EDIT = "keys.edit"
    BLOCKS_VIEW = "blocks.view"
    BLOCKS_SET = "blocks.set"  # those by request
    BLOCKS_DEBT = "blocks.debt"
    BLOCKS_TECHNICAL = "blocks.technical"
    BLOCKS_ADMIN = "blocks.admin"
    BLOCK_KINDS_EDIT = "block_kinds.edit"
    CALLS_VIEW = "calls.view"
    CALLS_LISTEN = "calls.listen"  # recordings
    CALLS_MAKE = "calls.make"  # ring a flat's phones, as a test
    SOS_VIEW = "sos.view"
    SOS_EDIT = "sos.edit"
    QUALITY_VIEW = "quality.view"
    QUALITY_EDIT = "quality.edit"
    BOARD_VIEW = "board.view"
    IMPORTS_RUN = "imports.run"
    STAFF_VIEW = "staff.view"
    STAFF_EDIT = "staff.edit"
    TOKENS_EDIT = "tokens.edit"
    CHANGES_VIEW = "changes.view"


@frozen
class Reach:
    """Within which houses something holds: `everywhere`, or those of these cities and companies, and these houses."""

    everywhere: bool = False
    cities: frozenset[int] = frozenset()
    companies: frozenset[int] = frozenset()
    houses: frozenset[int] = frozenset()

    def __or__(self, other: Reach) -> Reach:
        return Reach(
            self.everywhere or other.everywhere,
            self.cities | other.cities,
            self.companies | other.companies,
            self.houses | other.houses,
        )

    def __bool__(self) -> bool:
        return self.everywhere or bool(self.cities or self.companies or self.houses)

    def of_houses(self) -> sa.ColumnElement[bool]:
        """The condition on `House` that a row is within it."""
        if self.everywhere:
            return sa.true()
        ways: list[sa.ColumnElement[bool]] = []
        if self.cities:
            ways.append(House.city_id.in_(sorted(self.cities)))
        if self.companies:
            # Of a house without a company this is false, not unknown: its opposite has to be true.
            known = House.company_id.is_not(None)
            ways.append(sa.and_(known, House.company_id.in_(sorted(self.companies))))
        if self.houses:
            ways.append(House.id.in_(sorted(self.houses)))
        return sa.or_(*ways) if ways else sa.false()


EVERYWHERE = Reach(everywhere=True)
NOWHERE = Reach()


@frozen
class Rights:
    """All that somebody may do: for each right, how far. One that is not there holds nowhere."""

    reaches: Mapping[Right, Reach] = field(factory=dict)

    @classmethod
    def of_groups(cls, groups: Iterable[tuple[Iterable[Right], Reach]]) -> Rights:
        """The rights of who is in all of these groups."""
        reaches: dict[Right, Reach] = {}
        for rights, reach in groups:
            for right in rights:
                reaches[right] = reaches.get(right, NOWHERE) | reach
        return cls(reaches)

    def reach(self, right: Right) -> Reach:
        return self.reaches.get(right, NOWHERE)

    def may(self, right: Right) -> bool:
        """Whether it holds anywhere at all."""
        return bool(self.reach(right))

    def may_everywhere(self, right: Right) -> bool:
        return self.reach(right).everywhere


ALL_RIGHTS = Rights(dict.fromkeys(Right, EVERYWHERE))


def parse_rights(text: str) -> frozenset[Right]:
    """Rights as the database has them (a space between two); one that this program does not know is left out."""
    known = {right.value: right for right in Right}
    return frozenset(known[word] for word in text.split() if word in known)


def format_rights(rights: Iterable[Right]) -> str:
    """The same as the database has them, in the order of their declaration."""
    chosen = set(rights)
    return " ".join(right.value for right in Right if right in chosen)
