"""The search over everything."""

from typing import Annotated, Any

from litestar import get
from litestar.params import QueryParameter
from msgspec import Meta, Struct

from crm.api.guard import Asked
from crm.api.problems import problems
from crm.search.search import Found, search
from crm.site import site_of


class FoundOne(Struct):
    """One thing that was found, and the record that shows it."""

    id: Annotated[str, Meta(description="of what was found; a call's is text", examples=["17"])]
    title: str
    detail: Annotated[str, Meta(description="what tells it from others")]
    entity: Annotated[str, Meta(description="of the record that shows it", examples=["resident"])]
    entity_id: str
    path: Annotated[
        str, Meta(description="of its page, and behind /api/v1 of its record", examples=["/flats/7"])
    ]


class FoundGroup(Struct):
    """What was found of one kind, the best first. `more`: there are others."""

    kind: Found
    hits: list[FoundOne]
    more: bool
    late: Annotated[bool, Meta(description="time was over before all was looked through")]


class SearchAnswer(Struct):
    """Groups with hits, the surest first; then those that were late."""

    groups: list[FoundGroup]


@get(
    "/search",
    sync_to_thread=True,
    operation_id="search",
    summary="Search: addresses, flats, people, phone numbers, MACs, SIP users, keys, companies, calls",
    tags=["Search"],
    responses=problems(),
)
def search_all(
    request: Asked,
    q: Annotated[str, QueryParameter(min_length=1, max_length=200, description="what is looked for")],
    limit: Annotated[int, QueryParameter(ge=1, le=100, description="hits of a kind at most")] = 10,
) -> SearchAnswer:
    """Within what the token may see. Anything may be written in any usual way."""
    groups = search(site_of(request).store, request.user, q, limit_per_group=limit)
    return SearchAnswer(
        [
            FoundGroup(
                group.kind,
                [
                    FoundOne(str(h.id), h.title, h.detail, h.leads[0], str(h.leads[1]), h.path)
                    for h in group.hits
                ],
                group.more,
                group.late,
            )
            for group in groups
        ]
    )


REQUESTS: list[Any] = [search_all]
