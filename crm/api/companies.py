"""Companies: what the API does beside what all records have: access codes, who knows them, billing."""

from datetime import datetime
from typing import Annotated, Any

from litestar import Response, get, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta, Struct

from crm.api.guard import Asked
from crm.api.once import once
from crm.api.problems import problems
from crm.api.shapes import moment
from crm.companies import billing_feeds
from crm.companies.code_panels import panels_told
from crm.companies.code_runs import Code, codes_of, make_by_hand, runs, tell_again
from crm.companies.codes import next_week
from crm.companies.debts import unknown_contracts, unknown_debts
from crm.companies.parts import chores_of, wake
from crm.rights import Right
from crm.site import site_of
from crm.who import Conflict

TAG = "Companies"
ID = Annotated[int, PathParameter(ge=1, le=2**31 - 1, description="the company's id")]
UNKNOWN_MOST = 500


class AccessCode(Struct, kw_only=True):
    """A code that a company has, or had."""

    id: int
    code: Annotated[str, Meta(description="opens all doors of the company's houses", examples=["48213"])]
    made_at: datetime
    made_by: Annotated[str, Meta(description="who made it by hand; empty: a weekly run")]
    week: Annotated[str, Meta(description="the run's Monday; empty: by hand", examples=["2026-11-23"])]
    ended_at: Annotated[datetime | None, Meta(description="null: it holds")]
    billing_at: Annotated[datetime | None, Meta(description="when billing was told of it")]
    billing_error: str
    panels: Annotated[int, Meta(description="panels that are to know it")]
    panels_done: Annotated[int, Meta(description="panels that were told")]


class Reason(Struct, kw_only=True):
    """What panels said that do not know the code."""

    why: Annotated[str, Meta(examples=["the panel has no address"])]
    panels: int


class PanelsState(Struct, kw_only=True):
    """How far a company's panels are with its code."""

    known: Annotated[int, Meta(description="panels that know it")]
    waiting: Annotated[int, Meta(description="panels that are still to be told")]
    cannot: Annotated[int, Meta(description="panels whose vendor has no way for it")]
    forget: Annotated[int, Meta(description="panels that are still to forget a code that holds no more")]
    reasons: list[Reason]


class NoBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """Nothing is said beside the address."""


class CodeRunState(Struct, kw_only=True):
    """A week's making of codes."""

    week: Annotated[str, Meta(description="its Monday", examples=["2026-11-23"])]
    due_at: datetime
    started_at: datetime
    ended_at: Annotated[datetime | None, Meta(description="null: it goes on")]
    made: Annotated[int, Meta(description="codes that it has made")]
    waiting: Annotated[int, Meta(description="companies that still wait for theirs")]
    untold: Annotated[int, Meta(description="codes that billing does not know yet")]


class CodePlan(Struct, kw_only=True):
    """The weekly runs, the newest first, and when the next is due."""

    next_week: Annotated[str, Meta(examples=["2026-11-30"])]
    next_at: datetime
    runs: list[CodeRunState]


class FeedStateShown(Struct, kw_only=True):
    """How far something that billing tells has been read."""

    name: Annotated[str, Meta(examples=["debts"])]
    read_at: Annotated[datetime | None, Meta(description="when it was last read to its end")]
    due_at: datetime | None
    tries: Annotated[int, Meta(description="tries in vain since then")]
    error: str


class ContractOwing(Struct, kw_only=True):
    """A debt of a contract that no flat has."""

    contract: str
    amount: Annotated[str, Meta(description="in roubles", examples=["1250.50"])]
    since: datetime | None


class ContractUnplaced(Struct, kw_only=True):
    """A contract whose house or flat is not known."""

    contract: str
    fias: str
    own_id: str
    flat: str


class BillingState(Struct, kw_only=True):
    """How billing stands: what is read from it, and what of that nobody could place."""

    url: Annotated[str, Meta(description="empty: no billing is set", examples=["https://billing.example"])]
    feeds: list[FeedStateShown]
    unknown_debts: Annotated[list[ContractOwing], Meta(description=f"{UNKNOWN_MOST} at most")]
    unknown_contracts: Annotated[list[ContractUnplaced], Meta(description=f"{UNKNOWN_MOST} at most")]


@get(
    "/companies/{id:int}/codes",
    sync_to_thread=True,
    summary="A company's access codes, the newest first",
    operation_id="list_codes_of_company",
    tags=[TAG],
    responses=problems(404),
)
def list_codes(request: Asked, id: ID) -> list[AccessCode]:
    return [_code(each) for each in codes_of(site_of(request).store, request.user, id)]


@post(
    "/companies/{id:int}/codes",
    sync_to_thread=True,
    summary="Make a company's new access code at once",
    operation_id="make_code_of_company",
    tags=[TAG],
    responses=problems(404, 409, 422),
)
def make_code(request: Asked, id: ID, data: JSONBody[NoBody]) -> Response[AccessCode]:
    site = site_of(request)
    request.user.need(Right.CODES_VIEW)  # the answer tells it
    chores = chores_of(site)

    def make() -> AccessCode:
        billing = bool(chores.billing.url)
        made = make_by_hand(site.store, request.user, id, chores.codes.digits, site.now(), billing=billing)
        wake(chores)
        return _code(made)

    return once(request, data, make)


@get(
    "/companies/{id:int}/code-panels",
    sync_to_thread=True,
    summary="How many of a company's panels know its code",
    operation_id="read_code_panels_of_company",
    tags=[TAG],
    responses=problems(404),
)
def code_panels(request: Asked, id: ID) -> PanelsState:
    site = site_of(request)
    request.user.need(Right.CODES_VIEW)
    site.desk.get(request.user, site.desk.resource("companies"), id)
    with site.store.reading() as connection:
        told = panels_told(connection, id)
    return PanelsState(
        known=told.known,
        waiting=told.waiting,
        cannot=told.cannot,
        forget=told.forget,
        reasons=[Reason(why=why, panels=panels) for why, panels in told.reasons],
    )


@post(
    "/companies/{id:int}/billing",
    sync_to_thread=True,
    status_code=204,
    summary="Tell billing of a company again, at once",
    operation_id="synchronise_company",
    tags=[TAG],
    responses=problems(404, 409),
)
def synchronise(request: Asked, id: ID) -> None:
    site = site_of(request)
    chores = chores_of(site)
    if not tell_again(site.store, request.user, id, site.now()):
        raise Conflict("billing is told of a company with its code, and this one has none: make it one")
    wake(chores)


@get(
    "/code-plan",
    sync_to_thread=True,
    summary="The weekly runs of access codes, and when the next is due",
    operation_id="read_code_plan",
    tags=[TAG],
    responses=problems(),
)
def code_plan(request: Asked) -> CodePlan:
    site = site_of(request)
    found = runs(site.store, request.user)
    week = next_week(site.now(), chores_of(site).codes)
    shown = [
        CodeRunState(
            week=each.week,
            due_at=_at(each.due_at),
            started_at=_at(each.started_at),
            ended_at=moment(each.ended_at),
            made=each.made,
            waiting=each.companies,
            untold=each.untold,
        )
        for each in found
    ]
    return CodePlan(next_week=week.name, next_at=_at(week.due_at), runs=shown)


@get(
    "/billing",
    sync_to_thread=True,
    summary="How billing stands",
    operation_id="read_billing",
    tags=["Billing"],
    responses=problems(),
)
def read_billing(request: Asked) -> BillingState:
    site = site_of(request)
    request.user.need_everywhere(Right.COMPANIES_VIEW)
    feeds = [billing_feeds.feed_state(site.store, each) for each in billing_feeds.Feed]
    return BillingState(
        url=chores_of(site).billing.url,
        feeds=[
            FeedStateShown(
                name=each.name,
                read_at=moment(each.read_at),
                due_at=moment(each.due_at or None),
                tries=each.tries,
                error=each.error,
            )
            for each in feeds
        ],
        unknown_debts=[
            ContractOwing(contract=each.contract, amount=each.amount, since=moment(each.since))
            for each in unknown_debts(site.store, UNKNOWN_MOST)
        ],
        unknown_contracts=[
            ContractUnplaced(contract=each.contract, fias=each.fias, own_id=each.own_id, flat=each.flat)
            for each in unknown_contracts(site.store, UNKNOWN_MOST)
        ],
    )


@post(
    "/billing/read",
    sync_to_thread=True,
    status_code=204,
    summary="Read what billing tells, at once",
    operation_id="read_billing_now",
    tags=["Billing"],
    responses=problems(),
)
def read_billing_now(request: Asked) -> None:
    site = site_of(request)
    request.user.need_everywhere(Right.COMPANIES_EDIT)
    chores = chores_of(site)
    billing_feeds.read_soon(site.store, site.now())
    wake(chores)


def _code(code: Code) -> AccessCode:
    return AccessCode(
        id=code.id,
        code=code.code,
        made_at=_at(code.made_at),
        made_by=code.made_by,
        week=code.week,
        ended_at=moment(code.ended_at),
        billing_at=moment(code.billing_at),
        billing_error=code.billing_error,
        panels=code.panels,
        panels_done=code.panels_done,
    )


def _at(seconds: float) -> datetime:
    found = moment(seconds)
    assert found is not None
    return found


REQUESTS: list[Any] = [
    list_codes,
    make_code,
    code_panels,
    synchronise,
    code_plan,
    read_billing,
    read_billing_now,
]
