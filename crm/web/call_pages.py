"""The pages of calls: their list, found by whatever is known of one, and a call as it went, leg by leg."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import trio
from attrs import evolve
from litestar import Response, get
from litestar.datastructures import MultiDict
from litestar.params import FromPath
from litestar.response import Stream

from crm.calls.drawing import draw
from crm.calls.rows import CallQuery
from crm.calls.search import CallPage, FoundCall, every_call, listens, search_calls, see_call
from crm.calls.timeline import rang_s, talked_s
from crm.calls.verdicts import verdicts
from crm.calls.words import OUTCOMES, sentence
from crm.recordings import recording_of
from crm.rights import Right
from crm.site import site_of
from crm.spreadsheets import csv_line
from crm.values.records import CallRecord, EntryKind
from crm.web import language as languages
from crm.web import live_call_pages, show
from crm.web.call_looks import KIND_LABELS, tone
from crm.web.forms import read_time
from crm.web.list_pages import in_portions, values_of
from crm.web.menu import Item
from crm.web.page import Asked, Extra, language_of, render, translate, with_query
from crm.who import Invalid, NotFound

_TEXTS = ("address", "flat", "panel", "account", "outcome", "kind", "node")
_IDS = ("flat_id", "house_id")
SEVERAL = ("outcome", "kind")
FILTERS = (*_TEXTS, *_IDS, "from", "to", "door")


@get("/calls", sync_to_thread=True)
def calls_page(request: Asked) -> Response[Any]:
    site = site_of(request)
    errors: Mapping[str, str] = {}
    try:
        query = query_of(request.query_params, ZoneInfo(site.config.time_zone))
        page = search_calls(site.store, request.user.who, query)
    except Invalid as error:
        errors, page = error.errors, CallPage((), "")
    return render(
        request,
        "call_rows.html" if request.headers.get("hx-target") == "list" else "calls.html",
        page=page,
        errors=errors,
        filters={
            name: it for name, it in values_of(request.query_params, SEVERAL).items() if name in FILTERS
        },
        after=request.query_params.get("after", ""),
        kinds=KIND_LABELS,
        outcomes={each.value: text for each, text in OUTCOMES.items()},
        tone=tone,
        actions=(),
        can_create=False,
        sort="",
        file="/calls.csv",
    )


@get("/calls.csv", sync_to_thread=True)
def calls_csv(request: Asked) -> Stream:
    site, who = site_of(request), request.user.who
    query = query_of(request.query_params, ZoneInfo(site.config.time_zone))
    search_calls(site.store, who, evolve(query, limit=1))  # says now what is wrong with it
    clock = show.Clock(site.now(), ZoneInfo(site.config.time_zone), request.user.language)
    heads = (
        "When",
        "Call",
        "Kind",
        "Address",
        "Panel",
        "Dialled",
        "Flat",
        "Outcome",
        "Talked, s",
        "Answered by",
    )

    def lines() -> Iterator[bytes]:
        yield "\ufeff".encode()  # by which spreadsheets know UTF-8
        yield csv_line([translate(request, head) for head in (*heads, "Door opened", "Node")])
        for call in every_call(site.store, who, query):
            yield csv_line(_cells(request, call, clock))

    headers = {"Content-Disposition": 'attachment; filename="calls.csv"'}
    return Stream(in_portions(lines()), media_type="text/csv; charset=utf-8", headers=headers)


def _cells(request: Asked, call: FoundCall, clock: show.Clock) -> list[str]:
    outcome = OUTCOMES[call.outcome] if call.outcome is not None else "goes on"
    talked = "" if call.talked_s is None else f"{call.talked_s:.1f}"
    here = evolve(clock, zone=ZoneInfo(call.zone)) if call.zone else clock
    ways = (call.address, call.panel, call.dialled, call.flat, translate(request, outcome), talked)
    kind = translate(request, KIND_LABELS.get(call.kind, call.kind))
    door, at = here.iso(call.door_at), here.iso(call.started_at)
    return [at, call.call_id, kind, *ways, call.answered_by, door, call.node]


@get("/calls/{id:str}", sync_to_thread=True)
def call_page(request: Asked, id: FromPath[str]) -> Response[str]:
    site = site_of(request)
    try:
        record, zone = see_call(site.store, request.user.who, id)
    except NotFound:
        going_on = live_call_pages.live_call(request, id)
        if going_on is None:
            raise
        return live_call_pages.live_page(request, going_on)
    words = languages.translations(language_of(request))
    return render(
        request,
        "call.html",
        call=record,
        zone=zone,
        rang=rang_s(record),
        talked=talked_s(record),
        door=_door(record),
        kind=KIND_LABELS.get(record.kind, record.kind),
        outcome=OUTCOMES[record.outcome] if record.outcome is not None else "goes on",
        tone=tone(record.outcome),
        drawing=draw(record, words),
        verdicts=verdicts(record, words),
        entries=[(each, sentence(record, each, words)) for each in record.entries],
        links=_links(request, record),
        listens=bool(record.recording) and listens(site.store, request.user.who, id),
        has_nodes=site.parts.get("nodes") is not None,
    )


@get("/calls/{id:str}/recording")
async def recording(request: Asked, id: FromPath[str]) -> Stream:
    """The call's sound, as its node has it."""
    record = await trio.to_thread.run_sync(
        see_call, site_of(request).store, request.user.who, id, Right.CALLS_LISTEN
    )
    return await recording_of(request, record[0])


def query_of(query: MultiDict[Any], zone: ZoneInfo) -> CallQuery:
    """What the address line asks for, times in `zone`. Raises Invalid."""
    errors: dict[str, str] = {}
    given = values_of(query, SEVERAL)
    asked = {name: value if isinstance(value, str) else ",".join(value) for name, value in given.items()}
    found: dict[str, Any] = {name: asked[name].strip() for name in _TEXTS if asked.get(name)}
    for name in _IDS:
        if text := asked.get(name, ""):
            if not text.isascii() or not text.isdecimal() or not 0 < int(text) < 2**31:
                errors[name] = "a number is expected"
            else:
                found[name] = int(text)
    for name, into in (("from", "since"), ("to", "until")):
        if text := asked.get(name, ""):
            try:
                found[into] = read_time(text, zone) if "-" in text else float(text)
            except ValueError as error:
                errors[name] = str(error)
    if text := asked.get("door", ""):
        if text not in ("yes", "no"):
            errors["door"] = "yes or no is expected"
        found["door"] = text == "yes"
    if errors:
        raise Invalid(errors)
    return CallQuery(**found, after=asked.get("after", ""))


def _door(record: CallRecord) -> tuple[str, str]:
    """With which digit, and by whom, the door was opened."""
    for each in record.entries:
        if each.kind is EntryKind.DOOR:
            return str(each.data.get("digit", "")), str(each.data.get("by", ""))
    return "", ""


def _links(request: Asked, record: CallRecord) -> dict[str, str]:
    """Where a call leads: its flat, as far as who asks may see it."""
    links: dict[str, str] = {}
    if record.flat_id is not None and request.user.who.rights.may(Right.HOUSING_VIEW):
        links["flat"] = f"/flats/{record.flat_id}"
    if record.panel and request.user.who.rights.may(Right.DEVICES_VIEW):
        links["panel"] = with_query("/domophones", {"sip_user": record.panel})
    return links


PAGES: list[Any] = [calls_page, calls_csv, call_page, recording, *live_call_pages.HANDLERS]
EXTRAS: Mapping[str, Extra] = {}
ITEMS: tuple[Item, ...] = (Item("Calls", "/calls", Right.CALLS_VIEW, "phone", "Calls"),)
