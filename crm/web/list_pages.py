"""The lists that every kind of record has: filtered, sorted, in pages, and as CSV; and what a field suggests.

All of a list's state stands in the address line, so that a link leads to what one sees.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from litestar import Response, get
from litestar.datastructures import MultiDict
from litestar.params import FromPath
from litestar.response import Stream

from crm.desk.resource import Field, Find, Kind, Query, Resource
from crm.site import Site, site_of
from crm.spreadsheets import csv_line
from crm.web import show
from crm.web.forms import read_reference, read_time
from crm.web.page import Asked, Extra, render, translate
from crm.who import Invalid, Refused

PORTION = 32 * 1024  # bytes of a file that are sent together
_NOT_FILTERS = ("sort", "after", "limit")


@get("/{name:str}", sync_to_thread=True)
def list_page(request: Asked, name: FromPath[str]) -> Response[Any]:
    site = site_of(request)
    if name.endswith(".csv"):
        return _csv(request, site.desk.resource(name.removesuffix(".csv")))
    resource = site.desk.resource(name)
    query = query_of(site, resource, request.query_params)
    errors: Mapping[str, str] = {}
    try:
        page = site.desk.list(request.user.who, resource, query)
    except Invalid as error:
        errors = error.errors
        page = site.desk.list(request.user.who, resource, Query())
    extra: Extra = request.app.state.extras.get(name, Extra())
    return render(
        request,
        "rows.html" if request.headers.get("hx-target") == "list" else "list.html",
        resource=resource,
        page=page,
        errors=errors,
        columns=[each for each in resource.readable() if each.listed and not _is_title(resource, each)],
        filterable=[each for each in resource.fields if each.find is not Find.NOT],
        filters=filters_of(resource, request.query_params),
        filter_titles=_filter_titles(site, request, resource, query),
        sort=query.sort,
        after=query.after,
        can_create=may_edit(request, resource) and resource.creates,
        actions=extra.above(site, request) if extra.above else [],
        file=f"/{name}.csv",
    )


def filters_of(resource: Resource, asked: MultiDict[Any]) -> dict[str, str | list[str]]:
    """What the address line filters a list by, as it stands there; of a choice all that are asked for."""
    given = values_of(asked, [each.name for each in resource.fields if each.kind is Kind.CHOICE])
    return {name: value for name, value in given.items() if name not in _NOT_FILTERS}


def values_of(asked: MultiDict[Any], several: Collection[str]) -> dict[str, str | list[str]]:
    """What the address line says, by names; lists for the names that may stand there `several` times."""
    found: dict[str, str | list[str]] = {}
    for name in asked:
        texts = [text for text in asked.getall(name) if text]
        if texts and name in several:
            found[name] = list(dict.fromkeys(part for text in texts for part in text.split(",") if part))
        elif texts:
            found[name] = texts[-1]
    return found


def query_of(site: Site, resource: Resource, asked: MultiDict[Any]) -> Query:
    """A list's query from the address line: references by what was picked, times in the site's zone."""
    zone = ZoneInfo(site.config.time_zone)
    filters: dict[str, str] = {}
    for name, value in filters_of(resource, asked).items():
        text = value if isinstance(value, str) else ",".join(value)
        bare = name.removesuffix("_from").removesuffix("_to")
        field = next((each for each in resource.fields if each.name in (name, bare)), None)
        if field is not None and field.kind is Kind.REFERENCE:
            try:
                text = str(read_reference(text))
            except ValueError:
                text = "0"
        elif field is not None and field.kind is Kind.TIME and "-" in text:
            try:
                text = str(read_time(text, zone))
            except ValueError:
                pass  # the list says what is wrong with it
        filters[name] = text
    return Query(filters, asked.get("sort", ""), asked.get("after", ""))


@get("/pick/{name:str}", sync_to_thread=True)
def pick(request: Asked, name: FromPath[str]) -> Response[str]:
    """Suggestions for a field that refers to a record: the options of its list."""
    site = site_of(request)
    typed = request.query_params.get(request.query_params.get("field", ""), "")
    text = typed.rpartition(" #")[0] if " #" in typed else typed
    found = site.desk.pick(request.user.who, site.desk.resource(name), text)
    return render(request, "options.html", found=found)


def may_edit(request: Asked, resource: Resource) -> bool:
    rights = request.user.who.rights
    if resource.edit is None:
        return False
    return rights.may(resource.edit) if resource.reach is not None else rights.may_everywhere(resource.edit)


def _csv(request: Asked, resource: Resource) -> Response[Any]:
    site = site_of(request)
    who = request.user.who
    query = query_of(site, resource, request.query_params)
    first = Query(query.filters, query.sort, "", 1)
    site.desk.list(who, resource, first, count=False)  # says now what is wrong with it
    clock = show.Clock(site.now(), ZoneInfo(site.config.time_zone), request.user.language)
    fields = resource.readable()

    def lines() -> Iterator[bytes]:
        yield "\ufeff".encode()  # by which spreadsheets know UTF-8
        yield csv_line(
            ["id", translate(request, resource.label_one), *(translate(request, f.label) for f in fields)]
        )
        for row in site.desk.every(who, resource, query):
            values = {**row.values, **dict.fromkeys(row.beyond)}
            cells = (show.plain(f, values.get(f.name), row.shown, clock) for f in fields)
            yield csv_line([str(row.id), row.title, *cells])

    headers = {"Content-Disposition": f'attachment; filename="{resource.name}.csv"'}
    return Stream(in_portions(lines()), media_type="text/csv; charset=utf-8", headers=headers)


def in_portions(lines: Iterator[bytes]) -> Iterator[bytes]:
    """The lines of a file, the first at once, the others many together: each is a way to a thread and back."""
    waiting: list[bytes] = []
    size = 0
    for n, line in enumerate(lines):
        waiting.append(line)
        size += len(line)
        if size >= PORTION or n == 0:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def _is_title(resource: Resource, field: Field) -> bool:
    """What the record's name already says needs no column of its own."""
    return field.column is resource.title


def _filter_titles(site: Site, request: Asked, resource: Resource, query: Query) -> dict[str, str]:
    """What is chosen in filters by a reference, as text."""
    titles: dict[str, str] = {}
    for each in resource.fields:
        text = query.filters.get(each.name, "")
        if each.kind is Kind.REFERENCE and text.isdigit() and int(text):
            try:
                row = site.desk.get(request.user.who, site.desk.resource(each.refers_to), int(text))
            except Refused:
                continue
            titles[each.name] = f"{row.title} #{row.id}"
    return titles


HANDLERS = [list_page, pick]
