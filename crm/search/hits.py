"""What a search finds: hits, in groups of one kind, each with how sure it is."""

from __future__ import annotations

from enum import Enum, IntEnum

from attrs import evolve, frozen


class Found(Enum):
    """What a group holds; of equally sure groups the first here comes first."""

    FLAT = "flat"
    HOUSE = "house"
    STREET = "street"
    PANEL = "panel"
    RELAY = "relay"
    KEY = "key"
    PHONE = "phone number"
    ACCOUNT = "account"
    CALL = "call"
    RESIDENT = "resident"
    COMPANY = "company"
    EMPLOYEE = "employee"


class Sure(IntEnum):
    """How much of the found thing was typed."""

    PART = 1  # some of its end, or of what it belongs to
    BEGINNING = 2
    WHOLE = 3


@frozen
class Hit:
    """One thing that was found: `title` is its name, `detail` what tells it from others ("" for nothing).

    `leads` is the record whose page shows it, by its entity and id: ("flat", 7); a call's id is text. What has no id of
    its own here (a phone number) has that of what it leads to.
    """

    kind: Found
    id: int | str
    title: str
    detail: str
    leads: tuple[str, int | str]
    sure: Sure = Sure.BEGINNING

    @property
    def path(self) -> str:
        """The page that shows it."""
        entity, id = self.leads
        return f"/{'companies' if entity == 'company' else entity + 's'}/{id}"


@frozen
class Group:
    """Hits of one kind, the best first. `more`: there are others. `late`: time was over before all was looked through,
    so that more is not known, even where there are no hits."""

    kind: Found
    hits: tuple[Hit, ...]
    more: bool = False
    late: bool = False

    @property
    def sure(self) -> Sure:
        return max((hit.sure for hit in self.hits), default=Sure.PART)


def group(kind: Found, hits: list[Hit], limit: int) -> Group:
    """The surest `limit` of `hits`, otherwise in their order; each only once."""
    best: dict[int | str, Hit] = {}
    for hit in hits:
        known = best.get(hit.id)
        if known is None:
            best[hit.id] = hit
        elif hit.sure > known.sure:
            best[hit.id] = evolve(known, sure=hit.sure)
    ordered = sorted(best.values(), key=lambda hit: -hit.sure)
    return Group(kind, tuple(ordered[:limit]), more=len(ordered) > limit)
