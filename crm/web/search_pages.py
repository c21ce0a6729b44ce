"""The search over everything: groups under the field while typing, and a page of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litestar import MediaType, Response, get

from crm.search.search import Found, search
from crm.site import site_of
from crm.web.menu import Item
from crm.web.page import Asked, Extra, render

WHILE_TYPING, ON_A_PAGE = 5, 50  # hits of a kind
LONGEST = 200  # characters that are looked at
LABELS: Mapping[Found, str] = {
    Found.FLAT: "Flats",
    Found.HOUSE: "Houses",
    Found.STREET: "Streets",
    Found.PANEL: "Panels",
    Found.RELAY: "Relays",
    Found.KEY: "Keys",
    Found.PHONE: "Phone numbers",
    Found.ACCOUNT: "Accounts",
    Found.CALL: "Calls",
    Found.RESIDENT: "Residents",
    Found.COMPANY: "Companies",
    Found.EMPLOYEE: "Employees",
}


@get("/search", sync_to_thread=True)
def search_page(request: Asked) -> Response[str]:
    typed = request.query_params.get("q", "")
    part = request.headers.get("hx-request") == "true" and request.headers.get("hx-target") == "found"
    if part and not typed.strip():
        return Response("", media_type=MediaType.HTML)
    limit = WHILE_TYPING if part else ON_A_PAGE
    groups = search(site_of(request).store, request.user.who, typed[:LONGEST], limit_per_group=limit)
    return render(
        request,
        "found.html" if part else "search.html",
        typed=typed,
        groups=[each for each in groups if each.hits],
        late=any(each.late for each in groups),
        hits=sum(len(each.hits) for each in groups),
        more=any(each.more for each in groups),
        labels=LABELS,
    )


PAGES: list[Any] = [search_page]
EXTRAS: Mapping[str, Extra] = {}
ITEMS: tuple[Item, ...] = ()
