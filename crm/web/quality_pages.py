"""The pages of quality campaigns: all of them with how far they are, a new one, and one with its results."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

from litestar import Response, get, post
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath
from litestar.response import Redirect

from crm.desk.resource import Row
from crm.quality.desk import (
    change_state,
    get_campaign,
    list_campaigns,
    make_campaign,
    may_change,
    read_scope,
)
from crm.quality.maker import wake_maker
from crm.rights import Right
from crm.site import Site, site_of
from crm.values.quality import (
    ATTEMPT_SPACING_S,
    ATTEMPTS,
    BEGIN,
    DAY_NAMES,
    DAYS,
    END,
    PER_HOUSE,
    PRIORITY,
    SPACING_S,
    CallType,
    Campaign,
    CampaignState,
    Hours,
    Only,
    date_from,
    hours_from,
)
from crm.web import quality_result_pages
from crm.web.grid_looks import handset_look
from crm.web.menu import Item
from crm.web.page import Asked, Extra, render
from crm.who import Conflict, Invalid, Who

Form = Annotated[dict[str, Any], Body(media_type=RequestEncodingType.URL_ENCODED)]
KINDS = {"planned": CallType.PLANNED, "connection": CallType.CONNECTION}
KIND_LABELS = {CallType.PLANNED: "planned", CallType.CONNECTION: "when connected", CallType.TEST: "by hand"}
ONLY_LABELS = {
    Only.ALL: "all flats",
    Only.NEVER: "never checked",
    Only.BAD: "bad when last checked",
    Only.NEVER_OR_BAD: "never checked, or bad",
}
STATES = {
    CampaignState.MAKING: "look",
    CampaignState.RUNNING: "fine",
    CampaignState.PAUSED: "look",
    CampaignState.STOPPED: "off",
    CampaignState.DONE: "off",
    CampaignState.IMPOSSIBLE: "act",
}
MOVING = (CampaignState.MAKING, CampaignState.RUNNING)
_NUMBERS = {
    "spacing_min": ("spacing_s", 60, 0, 10_080),
    "per_house": ("per_house", 1, 1, 100),
    "attempts": ("attempts", 1, 1, 20),
    "attempt_spacing_h": ("attempt_spacing_s", 3600, 0, 720),
    "priority": ("priority", 1, -100, 100),
}


@get("/quality-campaigns", sync_to_thread=True)
def campaigns_page(request: Asked) -> Response[str]:
    site = site_of(request)
    found = list_campaigns(site.store, request.user.who, site.now())
    return render(request, "quality_campaigns.html", campaigns=found, **_looks())


@get("/quality-campaigns/new", sync_to_thread=True)
def new_campaign_page(request: Asked) -> Response[str]:
    request.user.who.need(Right.QUALITY_EDIT)
    texts = {
        "kind": "planned",
        "only": Only.ALL.value,
        "hours": f"{BEGIN:%H:%M}-{END:%H:%M}",
        "days": [DAY_NAMES[day] for day in sorted(DAYS)],
        "spacing_min": f"{SPACING_S / 60:g}",
        "per_house": str(PER_HOUSE),
        "attempts": str(ATTEMPTS),
        "attempt_spacing_h": f"{ATTEMPT_SPACING_S / 3600:g}",
        "priority": str(PRIORITY),
        **{name: request.query_params.get(name, "") for name in ("houses", "flats", "cities", "panels")},
    }
    return _form(request, texts, {})


@post("/quality-campaigns", sync_to_thread=True, status_code=200)
def create_campaign(request: Asked, data: Form) -> Response[Any]:
    site, who = site_of(request), request.user.who
    who.need(Right.QUALITY_EDIT)
    days: list[str] = (
        list(data["days"]) if isinstance(data.get("days"), list) else [str(data.get("days", ""))]
    )
    texts = {name: value for name, value in data.items() if isinstance(value, str)}
    try:
        id = make_campaign(site.store, who, _campaign(site, who, texts, days), site.now())
    except Invalid as error:
        return _form(request, {**texts, "days": days}, error.errors)
    except Conflict as error:
        return _form(request, {**texts, "days": days}, {"": str(error)})
    wake_maker(site)
    return Redirect(f"/quality-campaigns/{id}", status_code=303)


def campaign_page(site: Site, request: Asked, row: Row) -> Response[str]:
    """A campaign: how far it is, its results by verdict, what may be done with it."""
    return _campaign_page(site, request, row.id, "quality_campaign.html")


@get("/quality/campaigns/{id:int}/progress", sync_to_thread=True)
def campaign_part(request: Asked, id: FromPath[int]) -> Response[str]:
    """How far it is, alone; the page is loaded again when the campaign ends, as other things may be done then."""
    site = site_of(request)
    response = _campaign_page(site, request, id, "quality_campaign_state.html")
    if get_campaign(site.store, request.user.who, id, site.now()).campaign.state not in MOVING:
        response.headers["HX-Refresh"] = "true"
    return response


def _campaign_page(site: Site, request: Asked, id: int, template: str) -> Response[str]:
    it = get_campaign(site.store, request.user.who, id, site.now())
    verdicts = sorted(it.progress.verdicts.items(), key=lambda item: -item[1])
    return render(
        request,
        template,
        it=it,
        verdicts=[(verdict, count, handset_look(verdict)) for verdict, count in verdicts],
        most=max((count for _, count in verdicts), default=1),
        moving=it.campaign.state in MOVING,
        may_change=may_change(site.store, request.user.who, id),
        day_names=DAY_NAMES,
        **_looks(),
    )


@post("/quality/campaigns/{id:int}/state", sync_to_thread=True, status_code=200)
def set_campaign_state(request: Asked, id: FromPath[int], data: Form) -> Redirect:
    site = site_of(request)
    wanted = str(data.get("state", ""))
    if wanted not in {each.value for each in CampaignState}:
        raise Invalid({"state": "there is no such state"})
    change_state(site.store, request.user.who, id, CampaignState(wanted), site.now())
    wake_maker(site)
    return Redirect(f"/quality-campaigns/{id}", status_code=303)


def _looks() -> dict[str, Any]:
    return {"states": STATES, "kind_labels": KIND_LABELS, "only_labels": ONLY_LABELS}


def _form(request: Asked, texts: Mapping[str, Any], errors: Mapping[str, str]) -> Response[str]:
    return render(
        request,
        "quality_campaign_form.html",
        status=422 if errors else 200,
        texts=texts,
        errors=errors,
        everywhere=request.user.who.rights.may_everywhere(Right.QUALITY_EDIT),
        kinds={name: KIND_LABELS[kind] for name, kind in KINDS.items()},
        only={each.value: label for each, label in ONLY_LABELS.items()},
        day_names=DAY_NAMES,
    )


def _campaign(site: Site, who: Who, texts: Mapping[str, str], days: list[str]) -> Campaign:
    """What a form says. Raises Invalid."""
    errors: dict[str, str] = {}
    values: dict[str, Any] = {"name": texts.get("name", "").strip()[:255]}
    if not values["name"]:
        errors["name"] = "this is needed"
    values["kind"] = KINDS.get(texts.get("kind", ""), CallType.PLANNED)
    values["only"] = next((each for each in Only if each.value == texts.get("only")), Only.ALL)
    for name, (of, unit, low, high) in _NUMBERS.items():
        try:
            number = float(texts.get(name, "").replace(",", "."))
        except ValueError:
            number = float("nan")
        whole = of in ("per_house", "attempts", "priority")
        if not low <= number <= high or (whole and number != int(number)):
            errors[name] = "a number is expected"
        else:
            values[of] = int(number) if whole else number * unit
    try:
        begin, end = hours_from(texts.get("hours", "").replace(" ", ""))
        free: frozenset[date] = frozenset(map(date_from, texts.get("holidays", "").replace(",", " ").split()))
        values["hours"] = Hours(begin, end, frozenset(map(DAY_NAMES.index, days)), free)
    except ValueError as error:
        errors["hours"] = str(error)
    try:
        places = (texts.get(name, "") for name in ("cities", "houses", "panels", "flats"))
        values["scope"] = read_scope(site.store, who, *places)
    except Invalid as error:
        errors |= error.errors
    if errors:
        raise Invalid(errors)
    return Campaign(**values)


PAGES: list[Any] = [
    *(campaigns_page, new_campaign_page, create_campaign, set_campaign_state, campaign_part),
    *quality_result_pages.HANDLERS,
]
EXTRAS: Mapping[str, Extra] = {
    "quality-campaigns": Extra(whole=campaign_page),
    "quality-results": Extra(whole=quality_result_pages.result_page),
    "quality-tasks": Extra(whole=quality_result_pages.task_page),
}
ITEMS: tuple[Item, ...] = ()
