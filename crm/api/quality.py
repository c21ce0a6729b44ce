"""Quality calls: campaigns made and changed, a flat tested now, files of results, which are records as all are."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

import msgspec
import trio
from litestar import Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, PathParameter
from litestar.response import Stream
from msgspec import Meta, Struct

from crm.api import shapes
from crm.api.guard import Asked
from crm.api.once import once
from crm.api.problems import problems
from crm.api.records import PATH_ID
from crm.quality.desk import CampaignNow, ask_test, change_state, get_campaign, look_at_test, make_campaign
from crm.quality.maker import wake_maker
from crm.recordings import file_of, heard, pass_on
from crm.rights import Right
from crm.site import site_of
from crm.values.quality import (
    ATTEMPT_SPACING_S,
    ATTEMPTS,
    PER_HOUSE,
    SPACING_S,
    CallType,
    Campaign,
    CampaignState,
    Hours,
    Only,
    Result,
    Scope,
    Task,
    hours_from,
)
from crm.who import Invalid

CAMPAIGNS, FLATS = "Campaigns", "Flats"
Ids = Annotated[list[shapes.ID], Meta(max_length=5000)]


class CampaignScope(Struct, kw_only=True, forbid_unknown_fields=True):
    """All flats that any of these names; nothing: every flat that a panel calls, for who has the right everywhere."""

    cities: Ids = []
    houses: Ids = []
    panels: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=64, examples=["500001"])]],
        Meta(max_length=5000, description="SIP users"),
    ] = []
    flats: Ids = []


class NewCampaign(Struct, kw_only=True, forbid_unknown_fields=True):
    """A campaign that begins once its flats are in it."""

    name: Annotated[str, Meta(min_length=1, max_length=255, examples=["ул. Ленина, осень"])]
    kind: Literal["planned", "connection"] = "planned"
    scope: CampaignScope
    only: Annotated[
        Literal["all", "never", "bad", "never_or_bad"],
        Meta(description="never checked; bad when last checked"),
    ] = "all"
    hours: Annotated[
        str, Meta(pattern=r"^\d{1,2}:\d\d-\d{1,2}:\d\d$", description="by the house's clock")
    ] = "10:00-20:00"
    days: Annotated[
        list[Annotated[int, Meta(ge=0, le=6)]], Meta(min_length=1, max_length=7, description="0 is Monday")
    ] = msgspec.field(default_factory=lambda: [0, 1, 2, 3, 4])
    holidays: Annotated[list[date], Meta(max_length=400)] = []
    spacing_s: Annotated[float, Meta(ge=0, le=604_800, description="between two calls of a panel")] = (
        SPACING_S
    )
    per_house: Annotated[int, Meta(ge=1, le=100, description="at once in a house")] = PER_HOUSE
    attempts: Annotated[int, Meta(ge=1, le=20)] = ATTEMPTS
    attempt_spacing_s: Annotated[float, Meta(ge=0, le=2_592_000)] = ATTEMPT_SPACING_S
    priority: Annotated[int, Meta(ge=-100, le=100, description="the highest comes first")] = 0


class CampaignProgress(Struct, kw_only=True):
    """How many of a campaign's flats stand how."""

    total: int
    waiting: int
    calling: int
    done: int
    stopped: int
    verdicts: dict[str, int]


class CampaignMaking(Struct, kw_only=True):
    """How far the making of a campaign is: of its houses those whose flats are in it, and how many flats that are."""

    houses: int
    made: int
    flats: int


class CampaignGiven(Struct, kw_only=True):
    """A campaign with its progress. `per_hour` and `ends_at` are null where nothing can be said yet."""

    id: int
    name: str
    state: Annotated[
        Literal["being_made", "running", "paused", "stopped", "done", "impossible"],
        Meta(
            description="a large one is first being_made, and impossible if it came out that it has no flats"
        ),
    ]
    making: Annotated[CampaignMaking | None, Meta(description="null: all of its flats are in it")]
    why: Annotated[str, Meta(description="why it is impossible")]
    created_at: datetime | None
    ended_at: datetime | None
    progress: CampaignProgress
    per_hour: Annotated[float | None, Meta(description="flats done in an open hour so far")]
    ends_at: Annotated[datetime | None, Meta(description="if it goes on so")]


class CampaignChange(Struct, kw_only=True, forbid_unknown_fields=True):
    """Pause, go on, or stop for good."""

    state: Literal["running", "paused", "stopped"]


class QualityTest(Struct, kw_only=True):
    """A test of one flat. `verdict` is "" and `result_id` null until a call said something."""

    task_id: int
    flat_id: int
    state: Literal["waiting", "calling", "done", "stopped"]
    verdict: Annotated[str, Meta(examples=["good"])]
    why: str
    attempts: int
    confidence: float | None
    result_id: Annotated[int | None, Meta(description="one of quality-results")]


@post(
    "/quality-campaigns",
    sync_to_thread=True,
    summary="Campaigns: make one",
    operation_id="create_quality_campaign",
    tags=[CAMPAIGNS],
    responses=problems(409, 422),
)
def create_campaign(request: Asked, data: JSONBody[NewCampaign]) -> Response[CampaignGiven]:
    """One of some dozen houses runs at once; a larger one is being_made first, which may take minutes: ask how far it is.

    409: no flat is in it. 422: not all of its scope is within your reach.
    """
    site, who = site_of(request), request.user

    def make() -> CampaignGiven:
        id = make_campaign(site.store, who, _campaign(data), site.now())
        wake_maker(site)
        return _given(get_campaign(site.store, who, id, site.now(), Right.QUALITY_EDIT))

    return once(request, data, make)


@get(
    "/quality-campaigns/{id:int}/progress",
    sync_to_thread=True,
    summary="Campaigns: how far one is",
    operation_id="read_progress_of_quality_campaign",
    tags=[CAMPAIGNS],
    responses=problems(404),
)
def read_campaign(request: Asked, id: PATH_ID) -> CampaignGiven:
    site = site_of(request)
    return _given(get_campaign(site.store, request.user, id, site.now()))


@post(
    "/quality-campaigns/{id:int}/state",
    sync_to_thread=True,
    status_code=200,
    summary="Campaigns: pause one, let it go on, stop it",
    operation_id="set_state_of_quality_campaign",
    tags=[CAMPAIGNS],
    responses=problems(404, 409),
)
def set_campaign_state(request: Asked, id: PATH_ID, data: JSONBody[CampaignChange]) -> CampaignGiven:
    """Calls that are made just now go on. One that was paused while it was being made is being made again when it goes
    on. 409: it is so already, or has ended."""
    site, who = site_of(request), request.user
    change_state(site.store, who, id, CampaignState(data.state), site.now())
    wake_maker(site)
    return _given(get_campaign(site.store, who, id, site.now(), Right.QUALITY_EDIT))


@post(
    "/flats/{id:int}/quality-test",
    sync_to_thread=True,
    status_code=202,
    summary="Flats: test its handset now",
    operation_id="create_quality_test_of_flat",
    tags=[FLATS],
    responses=problems(404, 409),
)
def create_test(request: Asked, id: PATH_ID) -> Response[QualityTest]:
    """It is called as soon as its panel is idle; ask for the test's state by its `task_id`. 409: no panel calls it."""
    site = site_of(request)

    def make() -> QualityTest:
        return _test(
            *look_at_test(site.desk, request.user, ask_test(site.desk, request.user, id, site.now()))
        )

    return once(request, {}, make, status=202)


@get(
    "/quality-tests/{id:int}",
    sync_to_thread=True,
    summary="Flats: what became of a test",
    operation_id="read_quality_test",
    tags=[FLATS],
    responses=problems(404),
)
def read_test(request: Asked, id: PATH_ID) -> QualityTest:
    return _test(*look_at_test(site_of(request).desk, request.user, id))


@get(
    "/quality-results/{id:int}/files/{what:str}",
    summary="Results: the sound or the picture of one",
    operation_id="read_file_of_quality_result",
    tags=["Results"],
    responses={
        **problems(404),
        200: ResponseSpec(bytes, generate_examples=False, description="the file", media_type="audio/wav"),
    },
)
async def read_file(
    request: Asked,
    id: PATH_ID,
    what: Annotated[
        Literal["whole", "in", "out", "picture"],
        PathParameter(description="the sound of both, from the flat, what it heard; or the picture"),
    ],
) -> Stream:
    """As its node has it; a Range header gets a part of it. The sound needs the right calls.listen."""
    site, who = site_of(request), request.user
    result, node = await trio.to_thread.run_sync(heard, site, who, id, what)
    return await pass_on(request, file_of(result, what), node)


def _campaign(data: NewCampaign) -> Campaign:
    """Raises Invalid."""
    try:
        begin, end = hours_from(data.hours)
        hours = Hours(begin, end, frozenset(data.days), frozenset(data.holidays))
    except ValueError as error:
        raise Invalid({"hours": str(error)}) from None
    scope = data.scope
    if any("\0" in each for each in (data.name, *scope.panels)):
        raise Invalid({"": "there are characters in it that cannot be shown"})
    return Campaign(
        name=data.name,
        kind=CallType.PLANNED if data.kind == "planned" else CallType.CONNECTION,
        scope=Scope(tuple(scope.cities), tuple(scope.houses), tuple(scope.panels), tuple(scope.flats)),
        only=Only(data.only),
        hours=hours,
        spacing_s=data.spacing_s,
        per_house=data.per_house,
        attempts=data.attempts,
        attempt_spacing_s=data.attempt_spacing_s,
        priority=data.priority,
    )


def _given(it: CampaignNow) -> CampaignGiven:
    how_far, making = it.progress, it.campaign.making
    return CampaignGiven(
        id=it.campaign.id,
        name=it.campaign.name,
        state=it.campaign.state.value,
        making=None
        if making is None
        else CampaignMaking(houses=making.houses, made=making.made, flats=making.flats),
        why=it.campaign.why,
        created_at=shapes.moment(it.campaign.created_at),
        ended_at=shapes.moment(it.campaign.ended_at),
        progress=CampaignProgress(
            total=how_far.total,
            waiting=how_far.waiting,
            calling=how_far.calling,
            done=how_far.done,
            stopped=how_far.stopped,
            verdicts=dict(how_far.verdicts),
        ),
        per_hour=it.forecast.per_hour,
        ends_at=shapes.moment(it.forecast.ends_at),
    )


def _test(task: Task, result: Result | None, result_id: int | None) -> QualityTest:
    return QualityTest(
        task_id=task.id,
        flat_id=task.flat_id,
        state=task.state.value,
        verdict=task.verdict,
        why=task.why or (result.why if result is not None else ""),
        attempts=task.attempts,
        confidence=result.confidence if result is not None else None,
        result_id=result_id,
    )


REQUESTS: list[Any] = [create_campaign, read_campaign, set_campaign_state, create_test, read_test, read_file]
