"""Calls: the list with its filters, one with its legs and what happened, and its recording."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import trio
from litestar import get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter, QueryParameter
from litestar.response import Stream
from msgspec import Meta, Struct

from crm.api import shapes
from crm.api.guard import Asked
from crm.api.problems import problems
from crm.api.records import one_or_several
from crm.calls.rows import KINDS, CallQuery
from crm.calls.search import FoundCall, search_calls, see_call
from crm.calls.timeline import rang_s, talked_s
from crm.calls.verdicts import verdicts
from crm.calls.words import sentence
from crm.recordings import recording_of
from crm.rights import Right
from crm.site import site_of
from crm.values.records import CallRecord, EntryKind, LegEnd, LegRecord, Outcome
from crm.who import Invalid

CALLS = "Calls"
OutcomeName: Any = Literal[tuple(each.value for each in Outcome)]
_FILTERS = frozenset(
    "address house_id flat flat_id panel account started_from started_to outcome kind door node after limit".split()
)
CallId = Annotated[str, Meta(description="the call's id", examples=["84c5a505c31e2aac"])]
PathId = Annotated[str, PathParameter(max_length=64, description="the call's id")]


class CallInList(Struct, kw_only=True):
    """A call. Times are null for what did not happen; `outcome` is null while it goes on."""

    id: CallId
    kind: str
    node: str
    panel: Annotated[str, Meta(description="the SIP user of the panel", examples=["500001"])]
    dialled: str
    address: str
    flat: str
    flat_id: int | None
    started_at: datetime | None
    answered_at: datetime | None
    answered_by: Annotated[str, Meta(description="the account", examples=["7351043"])]
    door_at: Annotated[datetime | None, Meta(description="when the door was opened")]
    ended_at: datetime | None
    outcome: OutcomeName | None
    recorded: bool


class CallPart(Struct, kw_only=True):
    """A part of the list. It may have fewer calls than `limit` though more are there: go on by `next`."""

    items: list[CallInList]
    next: Annotated[str | None, Meta(description="the cursor of the next page; null: this is the last")]
    back_to: Annotated[
        datetime | None, Meta(description="not all was looked through, only calls since this time")
    ]


class LegOfCall(Struct, kw_only=True):
    """One channel of a call."""

    channel: str
    role: Annotated[str, Meta(description="panel, account, dispatch or duty")]
    account: str
    invited_at: datetime | None
    ringing_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    end: Literal[tuple(each.value for each in LegEnd)] | None  # type: ignore[valid-type]
    cause: Annotated[int | None, Meta(description="Q.850")]
    sip_code: int | None


class EventOfCall(Struct, kw_only=True):
    """One thing that happened; `text` says it in English."""

    at: datetime | None
    kind: Literal[tuple(each.value for each in EntryKind)]  # type: ignore[valid-type]
    leg: str
    data: dict[str, str | int | float]
    text: str


class AccountOfCall(Struct, kw_only=True):
    """What became of an account that was rung: why its phones rang, or did not."""

    account: str
    phones: Annotated[str, Meta(examples=["android, ios"])]
    tone: Literal["fine", "look", "act", "off"]
    text: Annotated[str, Meta(examples=["push refused, the token is dead (UNREGISTERED), never registered"])]


class WholeCall(CallInList, kw_only=True):
    """A call with all that is kept of it."""

    domophone: Annotated[str, Meta(description="the panel's MAC", examples=["186882310c8a"])]
    number: Annotated[str, Meta(description="of a 112 call: the one that its panel was lent")]
    rang_s: float | None
    talked_s: float | None
    accounts: list[AccountOfCall]
    legs: list[LegOfCall]
    events: list[EventOfCall]


@get(
    "/calls",
    sync_to_thread=True,
    summary="Calls: a part of the list, the newest first",
    operation_id="list_calls",
    tags=[CALLS],
    responses=problems(422),
)
def list_calls(
    request: Asked,
    address: Annotated[
        str | None, QueryParameter(max_length=255, description="words of the address: Ленина 5, 42")
    ] = None,
    house_id: Annotated[
        int | None, QueryParameter(ge=1, le=2**31 - 1, description="calls to its flats")
    ] = None,
    flat: Annotated[str | None, QueryParameter(max_length=20, description="the flat's number")] = None,
    flat_id: Annotated[
        int | None, QueryParameter(ge=1, le=2**31 - 1, description="the flat that was called")
    ] = None,
    panel: Annotated[str | None, QueryParameter(max_length=64, description="its SIP user or MAC")] = None,
    account: Annotated[
        str | None, QueryParameter(max_length=64, description="an account that was rung")
    ] = None,
    started_from: Annotated[datetime | None, QueryParameter(description="from this time on")] = None,
    started_to: Annotated[datetime | None, QueryParameter(description="before this time")] = None,
    outcome: Annotated[
        list[str] | None, one_or_several([each.value for each in Outcome], "how it ended")
    ] = None,
    kind: Annotated[list[str] | None, one_or_several(KINDS, "what it was")] = None,
    door: Annotated[bool | None, QueryParameter(description="whether the door was opened")] = None,
    node: Annotated[str | None, QueryParameter(max_length=64, description="the node that carried it")] = None,
    after: Annotated[
        str | None, QueryParameter(max_length=2000, description="the `next` of the page before")
    ] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=500, description="calls at most")] = 50,
) -> CallPart:
    if unknown := sorted(set(request.query_params) - _FILTERS):
        raise Invalid({unknown[0]: "this list has no such filter"})
    query = CallQuery(
        address=address or "",
        house_id=house_id,
        flat=flat or "",
        flat_id=flat_id,
        panel=panel or "",
        account=account or "",
        since=_seconds(started_from, "started_from"),
        until=_seconds(started_to, "started_to"),
        outcome=",".join(outcome or ()),
        kind=",".join(kind or ()),
        door=door,
        node=node or "",
        after=after or "",
        limit=limit,
    )
    page = search_calls(site_of(request).store, request.user, query)
    return CallPart(
        items=[CallInList(**_listed(each)) for each in page.calls],
        next=page.next or None,
        back_to=shapes.moment(page.back_to),
    )


@get(
    "/calls/{id:str}",
    sync_to_thread=True,
    summary="Calls: one, with its legs and what happened",
    operation_id="read_call",
    tags=[CALLS],
    responses=problems(404),
)
def read_call(request: Asked, id: PathId) -> WholeCall:
    record, _ = see_call(site_of(request).store, request.user, id)
    return WholeCall(
        **_listed(record),
        domophone=record.domophone,
        number=record.number,
        rang_s=rang_s(record),
        talked_s=talked_s(record),
        accounts=[
            AccountOfCall(account=each.account, phones=each.phones, tone=each.tone.value, text=each.text)
            for each in verdicts(record)
        ],
        legs=[_leg(leg) for leg in record.legs],
        events=[
            EventOfCall(
                at=shapes.moment(each.at),
                kind=each.kind.value,
                leg=each.leg,
                data=each.data,
                text=sentence(record, each),
            )
            for each in record.entries
        ],
    )


@get(
    "/calls/{id:str}/recording",
    summary="Calls: the recording of one",
    operation_id="read_recording_of_call",
    tags=[CALLS],
    responses={
        **problems(404),
        200: ResponseSpec(bytes, generate_examples=False, description="the sound", media_type="audio/wav"),
    },
)
async def read_recording(request: Asked, id: PathId) -> Stream:
    """As its node has it; a Range header gets a part of it."""
    store = site_of(request).store
    record, _ = await trio.to_thread.run_sync(see_call, store, request.user, id, Right.CALLS_LISTEN)
    return await recording_of(request, record)


def _listed(call: FoundCall | CallRecord) -> dict[str, Any]:
    same = ("kind", "node", "panel", "dialled", "address", "flat", "flat_id", "answered_by")
    times = ("started_at", "answered_at", "door_at", "ended_at")
    return {
        "id": call.call_id,
        **{name: getattr(call, name) for name in same},
        **{name: shapes.moment(getattr(call, name)) for name in times},
        "outcome": None if call.outcome is None else call.outcome.value,
        "recorded": bool(call.recording),
    }


def _leg(leg: LegRecord) -> LegOfCall:
    return LegOfCall(
        channel=leg.channel,
        role=leg.role,
        account=leg.account,
        invited_at=shapes.moment(leg.invited_at),
        ringing_at=shapes.moment(leg.ringing_at),
        answered_at=shapes.moment(leg.answered_at),
        ended_at=shapes.moment(leg.ended_at),
        end=None if leg.end is None else leg.end.value,
        cause=leg.cause,
        sip_code=leg.sip_code,
    )


def _seconds(moment: datetime | None, name: str) -> float | None:
    try:
        return None if moment is None else moment.timestamp()
    except (OverflowError, ValueError, OSError):
        raise Invalid({name: "no calendar has this time"}) from None


REQUESTS: list[Any] = [list_calls, read_call, read_recording]
