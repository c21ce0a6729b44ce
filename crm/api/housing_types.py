"""What the API's requests about houses take and give: houses made whole, ranges of flats, gates, panels, the grid."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, defstruct

from crm.api import shapes
from crm.sections.housing import HOUSES_RESOURCE

_RANGES = "ranges and numbers: 1-36, 40а, 5а-5г"


class NewEntrance(Struct, kw_only=True, forbid_unknown_fields=True):
    """An entrance with its flats. A name that the house has already means that entrance."""

    name: Annotated[str, Meta(min_length=1, max_length=64, description="“1” is “п. 1”", examples=["1"])]
    flats: Annotated[str, Meta(max_length=4000, description=_RANGES, examples=["1-36"])] = ""
    floors: Annotated[str, Meta(max_length=20, description="9, or 2-10; empty: not told", examples=["9"])] = (
        ""
    )
    per_floor: (
        Annotated[int, Meta(ge=1, le=100, description="flats on each floor; null: evenly", examples=[4])]
        | None
    ) = None


Entrances = Annotated[list[NewEntrance], Meta(max_length=60, description="in their order")]


def _whole_type() -> type[Struct]:
    new = shapes.new_type(HOUSES_RESOURCE)
    fields: list[Any] = [("entrances", Entrances, [])]
    return defstruct("WholeHouse", fields, bases=(new,), kw_only=True, forbid_unknown_fields=True)


WholeHouse: Any = _whole_type()


class NewFlats(Struct, kw_only=True, forbid_unknown_fields=True):
    """Entrances and flats for a house that is there."""

    entrances: Annotated[list[NewEntrance], Meta(min_length=1, max_length=60)]
    call: Annotated[
        bool, Meta(description="flats that the house has already are called from these entrances, too")
    ] = False


class AddedFlats(Struct, kw_only=True):
    entrances: Annotated[int, Meta(description="made")]
    flats: Annotated[int, Meta(description="made")]
    called: Annotated[int, Meta(description="that were there, and are called from one more entrance")]


class HouseAtGate(Struct, kw_only=True, forbid_unknown_fields=True):
    house_id: shapes.ID
    prefix: Annotated[str, Meta(max_length=10, pattern=r"^\d*$", examples=["1"])] = ""


class NewGate(Struct, kw_only=True, forbid_unknown_fields=True):
    """An entrance that serves several houses."""

    name: Annotated[str, Meta(min_length=1, max_length=64, examples=["ворота"])]
    houses: Annotated[list[HouseAtGate], Meta(min_length=1, max_length=20)]
    with_flats: Annotated[bool, Meta(description="all flats of these houses are called from it")] = True


class Made(Struct, kw_only=True):
    id: int


class PanelAtDoor(Struct, kw_only=True):
    """A panel at an entrance."""

    id: int
    sip_user: str
    vendor: str
    model: str
    dialling: Literal["flat", "prefix_flat", "stored"]
    active: bool


class HouseDoor(Struct, kw_only=True):
    """An entrance of a house. `panels` is null for a token without the right devices.view."""

    id: int
    name: str
    prefix: str
    houses: Annotated[list[int], Meta(description="the other houses that it serves: it is a gate")]
    flats: Annotated[int, Meta(description="of this house that are called from it")]
    renumbered: Annotated[int, Meta(description="of them by another number than their own")]
    panels: list[PanelAtDoor] | None


class NewNumbers(Struct, kw_only=True, forbid_unknown_fields=True):
    """By which numbers the panels at an entrance call flats of a house."""

    entrance_id: shapes.ID
    flats: Annotated[str, Meta(max_length=4000, description=f"{_RANGES}; empty: all", examples=["1-36"])] = ""
    how: Annotated[
        Literal["own", "counted", "added"],
        Meta(description="the flat's own; counted from `number`; the flat's with `number` added"),
    ]
    number: Annotated[int, Meta(ge=-(10**9), le=10**9, examples=[112000])] = 0


class Renumbered(Struct, kw_only=True):
    flats: int


class FlatInGrid(Struct, kw_only=True):
    """A flat of the grid. What the token may not see is null, or left out of the state."""

    id: int
    number: str
    floor: int | None
    entrances: list[int]
    state: Annotated[
        Literal["fine", "asleep", "blocked", "handset_bad", "silent", "no_app", "never_called"],
        Meta(
            description="the worst of what is known; asleep: some phones cannot be woken by a push; silent: at the"
            " last call no phone rang, though some should have"
        ),
    ]
    blocks: list[str]
    auto_open: bool
    accounts: int | None
    accounts_ringing: int | None
    phones: int | None
    phones_woken: int | None
    handset: str | None
    handset_at: datetime | None
    last_call: str | None
    last_call_at: datetime | None
    last_call_outcome: str | None


class DoorInGrid(Struct, kw_only=True):
    id: int | None
    name: str


class Grid(Struct, kw_only=True):
    """A house as a grid: `entrances` are the columns, `floors` the rows from the top (null: not told)."""

    entrances: list[DoorInGrid]
    floors: list[int | None]
    flats: list[FlatInGrid]


class Ringing(Struct, kw_only=True):
    call_id: Annotated[str, Meta(description="the call that is being made", examples=["84c5a505c31e2aac"])]
