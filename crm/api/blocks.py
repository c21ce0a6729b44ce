"""Blocks of flats: set for many at once, looked at before, taken back, and what those that stand on a flat stop."""

from datetime import datetime
from typing import Annotated, Any, Literal

from litestar import Response, get, post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from crm.api.guard import Asked
from crm.api.once import once
from crm.api.problems import problems
from crm.api.records import PATH_ID
from crm.api.shapes import moment
from crm.housing.blocks import (
    FLATS_MOST,
    REASON_LONGEST,
    NewBlock,
    Standing,
    block_flats,
    flats_of,
    preview_blocks,
    standing_blocks,
    take_back,
)
from crm.site import site_of
from crm.who import Invalid

TAG = "Blocks of flats"
Id = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class NewBlocks(Struct, kw_only=True, forbid_unknown_fields=True):
    """The flats, by their ids or as a house with numbers, and what they are blocked by."""

    kind: Annotated[
        str, Meta(min_length=1, max_length=20, description="the code of its kind", examples=["debt"])
    ]
    flat_ids: Annotated[
        list[Id], Meta(max_length=FLATS_MOST, description="flats by their ids", examples=[[17]])
    ] = []
    house_id: Annotated[Id | None, Meta(description="the house whose `flats` are meant")] = None
    flats: Annotated[
        Annotated[str, Meta(max_length=2000)] | None,
        Meta(description="numbers and ranges; * for all", examples=["1-36, 40"]),
    ] = None
    reason: Annotated[str, Meta(max_length=REASON_LONGEST, examples=["заявление от 12.03"])] = ""
    since: Annotated[datetime, Meta(tz=True, description="left out: from now on")] | None = None
    until: Annotated[datetime, Meta(tz=True, description="left out: until it is taken back")] | None = None


class BlocksPreview(Struct, kw_only=True):
    """Which flats would be blocked."""

    flats: Annotated[list[int], Meta(description="flats that would be blocked", examples=[[17, 18]])]
    left: Annotated[
        list[int], Meta(description="flats that have a block of this kind by hand in that time already")
    ]


class BlocksMade(Struct, kw_only=True):
    """What became of it."""

    blocks: Annotated[list[int], Meta(description="the new blocks, one a flat", examples=[[501, 502]])]
    flats: Annotated[list[int], Meta(description="flats that are blocked, in the same order")]
    left: Annotated[
        list[int], Meta(description="flats that have a block of this kind by hand in that time already")
    ]


class TakeBack(Struct, kw_only=True, forbid_unknown_fields=True):
    """Blocks that are to end now; those that are yet to come are deleted."""

    ids: Annotated[list[Id], Meta(min_length=1, max_length=FLATS_MOST, examples=[[501]])]


class TakenBack(Struct, kw_only=True):
    """How many were."""

    taken_back: Annotated[int, Meta(examples=[1])]


class StandingBlock(Struct, kw_only=True):
    """A block that stands now, and what its kind stops."""

    id: int
    kind: Annotated[str, Meta(description="the code of its kind", examples=["debt"])]
    name: Annotated[str, Meta(examples=["Долг"])]
    since: datetime | None
    until: datetime | None
    reason: str
    source: Annotated[str, Meta(description="hand or billing", examples=["billing"])]
    stops: list[Literal["calls", "app", "keys"]]


class FlatBlocks(Struct, kw_only=True):
    """What stands on a flat. 112 is never stopped."""

    calls_blocked: Annotated[bool, Meta(description="visitors are refused")]
    app_blocked: Annotated[bool, Meta(description="the app is not to serve this flat")]
    keys_blocked: Annotated[bool, Meta(description="its keys open nothing")]
    blocks: list[StandingBlock]


@get(
    "/flats/{id:int}/blocks",
    sync_to_thread=True,
    operation_id="blocks_of_flat",
    summary="Flats: the blocks that stand, and what they stop",
    tags=[TAG],
    responses=problems(404),
)
def blocks_of_flat(request: Asked, id: PATH_ID) -> FlatBlocks:
    site = site_of(request)
    found = standing_blocks(site.store, request.user, id, site.now())
    return FlatBlocks(
        calls_blocked=any(each.stops_calls for each in found),
        app_blocked=any(each.stops_app for each in found),
        keys_blocked=any(each.stops_keys for each in found),
        blocks=[
            StandingBlock(
                id=each.id,
                kind=each.kind,
                name=each.name,
                since=moment(each.since),
                until=moment(each.until),
                reason=each.reason,
                source=each.source,
                stops=_stops(each),
            )
            for each in found
        ],
    )


@post(
    "/flat-blocks/preview",
    sync_to_thread=True,
    status_code=200,
    operation_id="preview_flat_blocks",
    summary="Blocks of flats: which flats would be blocked",
    tags=[TAG],
    responses=problems(404, 422),
)
def preview(request: Asked, data: JSONBody[NewBlocks]) -> BlocksPreview:
    flats, block = _read(request, data)
    plan = preview_blocks(site_of(request).store, request.user, flats, block)
    return BlocksPreview(flats=list(plan.flats), left=list(plan.left))


@post(
    "/flat-blocks",
    sync_to_thread=True,
    operation_id="block_flats",
    summary="Blocks of flats: block one or many",
    tags=[TAG],
    responses=problems(404, 409, 422),
)
def block(request: Asked, data: JSONBody[NewBlocks]) -> Response[BlocksMade]:
    def make() -> BlocksMade:
        flats, wanted = _read(request, data)
        site = site_of(request)
        done, ids = block_flats(site.store, request.user, flats, wanted, site.now())
        return BlocksMade(blocks=list(ids), flats=list(done.flats), left=list(done.left))

    return once(request, data, make)


@post(
    "/flat-blocks/take-back",
    sync_to_thread=True,
    status_code=200,
    operation_id="take_flat_blocks_back",
    summary="Blocks of flats: take one or many back",
    tags=[TAG],
    responses=problems(404, 409, 422),
)
def take(request: Asked, data: JSONBody[TakeBack]) -> TakenBack:
    site = site_of(request)
    return TakenBack(taken_back=take_back(site.store, request.user, data.ids, site.now()))


def _read(request: Asked, data: NewBlocks) -> tuple[list[int], NewBlock]:
    """The flats' ids, and the block. Raises Invalid, NotFound."""
    site = site_of(request)
    ids = list(data.flat_ids)
    if (data.house_id is None) != (data.flats is None):
        raise Invalid({"flats": "a house is needed for flats by their numbers, and numbers for a house"})
    if data.house_id is not None and data.flats is not None:
        ids += [id for id, _ in flats_of(site.store, request.user, data.house_id, data.flats)]
    since = site.now() if data.since is None else data.since.timestamp()
    until = None if data.until is None else data.until.timestamp()
    return ids, NewBlock(data.kind, since, until, data.reason)


def _stops(each: Standing) -> list[Literal["calls", "app", "keys"]]:
    found: list[Literal["calls", "app", "keys"]] = []
    if each.stops_calls:
        found.append("calls")
    if each.stops_app:
        found.append("app")
    if each.stops_keys:
        found.append("keys")
    return found


REQUESTS: list[Any] = [blocks_of_flat, preview, block, take]
