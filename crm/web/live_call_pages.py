"""A call that goes on, which has no record yet: as the live board has it, on a page of its own and in a flat's card.

What is shown comes again every two seconds, until the record is there and says what became of each phone.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
import trio
from litestar import Response, get
from litestar.params import FromPath

from crm.calls.search import see_call
from crm.calls.timeline import rang_s, talked_s
from crm.calls.verdicts import verdicts
from crm.calls.words import OUTCOMES
from crm.rights import Reach, Right
from crm.sections.shared import FLATS, FLATS_IN_HOUSES
from crm.site import Site, site_of, wait_for
from crm.sos.reach import board_within
from crm.web import language as languages
from crm.web.board_view import state_words
from crm.web.call_looks import KIND_LABELS, tone
from crm.web.page import Asked, language_of, render
from crm.who import NotFound
from live import CallState, LiveBoard, LiveCall

LOOK_S = 3.0  # for the nodes to say what they do
UNSEEN_S = 40.0  # for a call that no board shows, as there are more than it has room for, to have a record


def live_call(request: Asked, id: str) -> LiveCall | None:
    """A call that goes on, if who asks may see it. In a worker thread. Raises Forbidden, StoreError."""
    site, who = site_of(request), request.user.who
    who.need(Right.CALLS_VIEW)
    nodes = site.parts.get("nodes")
    board = None if nodes is None else wait_for(_newest, nodes)
    call = next((each for each in board.calls if each.call_id == id), None) if board is not None else None
    if call is None or not _is_within(site, who.rights.reach(Right.CALLS_VIEW), call):
        return None
    return call


def live_page(request: Asked, call: LiveCall) -> Response[str]:
    """The page of a call that goes on; once it has a record the page is loaded again, and is that record's."""
    kind = KIND_LABELS.get(call.kind, call.kind)
    return render(request, "call_live.html", kind=kind, **_now(request, call.call_id, call, 0.0))


@get("/calls/{id:str}/now", sync_to_thread=True)
def call_now(request: Asked, id: FromPath[str]) -> Response[str]:
    """How far a call is, in a few lines."""
    site = site_of(request)
    begun = request.query_params.get("begun", "")
    since = float(begun) if begun.isdecimal() and len(begun) < 12 else 0.0
    try:
        record, zone = see_call(site.store, request.user.who, id)
    except NotFound:
        return render(request, "call_now.html", **_now(request, id, live_call(request, id), since))
    words = languages.translations(language_of(request))
    response = render(
        request,
        "call_now.html",
        id=id,
        call=None,
        record=record,
        zone=zone,
        outcome=OUTCOMES[record.outcome] if record.outcome is not None else "goes on",
        tone=tone(record.outcome),
        rang=rang_s(record),
        talked=talked_s(record),
        verdicts=verdicts(record, words),
        goes_on=False,
    )
    if request.headers.get("hx-current-url", "").partition("?")[0].endswith(f"/calls/{id}"):
        response.headers["HX-Refresh"] = "true"
    return response


def _now(request: Asked, id: str, call: LiveCall | None, since: float) -> dict[str, Any]:
    """What the lines of a call without a record are made of. `since` is when somebody began to wait for it."""
    now = site_of(request).now()
    words = languages.translations(language_of(request))
    since = since or float(int(now))
    return {
        "id": id,
        "call": call,
        "record": None,
        "state": "" if call is None else state_words(call, words),
        "tone": "fine" if call is not None and call.state is CallState.TALKING else "look",
        "lasted": None if call is None else max(0.0, now - call.since),
        "since": int(since),
        "goes_on": call is not None or now - since < UNSEEN_S,
    }


async def _newest(nodes: Any) -> LiveBoard | None:
    with trio.move_on_after(LOOK_S), nodes.subscribe() as boards:
        async for board in boards:
            found: LiveBoard = board
            return found
    return None


def _is_within(site: Site, reach: Reach, call: LiveCall) -> bool:
    """Whether a call is within reach: by its flat's house, or else by its panel."""
    if reach.everywhere or call.flat_id is None:
        within = board_within(site.store, reach)
        return within is None or within.has(call)
    with site.store.reading() as connection:
        query = sa.select(FLATS.c.id).select_from(FLATS_IN_HOUSES)
        return connection.scalar(query.where(FLATS.c.id == call.flat_id, reach.of_houses())) is not None


HANDLERS: list[Any] = [call_now]
