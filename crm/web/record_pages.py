"""The pages that every record has: a form, its own page, and what hangs on it.

They are made from the resources' descriptions; a section adds to a record's page by an `Extra`. A change is posted, and
answered by a redirect to the record; what is wrong with it is said beside the field, and nothing that was typed is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from litestar import Response, get, post
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath
from litestar.response import Redirect

from crm.desk.resource import Field, Kind, Link, Resource, Row
from crm.model import table
from crm.rights import Right
from crm.site import site_of
from crm.tables.staff import Change
from crm.web import show
from crm.web.change_words import ChangeWords, Told
from crm.web.forms import read_form
from crm.web.list_pages import may_edit
from crm.web.page import Asked, Extra, clock_of, render, translate
from crm.who import Conflict, Invalid, NotFound, Refused

Form = Annotated[dict[str, Any], Body(media_type=RequestEncodingType.URL_ENCODED)]
_CHANGES = table(Change)


@get("/{name:str}/new", sync_to_thread=True)
def new_page(request: Asked, name: FromPath[str]) -> Response[str]:
    site = site_of(request)
    resource = site.desk.resource(name)
    if resource.edit is None or not resource.creates:
        raise NotFound(f"{resource.name} are not made in a form of this kind")
    request.user.who.need(resource.edit)
    texts = {each.name: default_text(each) for each in resource.fields} | dict(request.query_params)
    return _form(request, resource, None, texts, {})


@post("/{name:str}", sync_to_thread=True, status_code=200)
def create(request: Asked, name: FromPath[str], data: Form) -> Response[Any]:
    site = site_of(request)
    resource = site.desk.resource(name)
    try:
        values = read_form(_entered(resource, creating=True), data, ZoneInfo(site.config.time_zone))
        id = site.desk.create(request.user.who, resource, values)
    except (Invalid, Conflict) as error:
        return _form(request, resource, None, _posted(data), _errors(error))
    return Redirect(f"/{name}/{id}", status_code=303)


@get("/{name:str}/{id:int}", sync_to_thread=True)
def record_page(request: Asked, name: FromPath[str], id: FromPath[int]) -> Response[str]:
    site = site_of(request)
    resource = site.desk.resource(name)
    row = site.desk.get(request.user.who, resource, id)
    extra: Extra = request.app.state.extras.get(name, Extra())
    if extra.whole is not None:
        return extra.whole(site, request, row)
    return show_record(request, resource, row)


def show_record(
    request: Asked,
    resource: Resource,
    row: Row,
    *,
    errors: Mapping[str, str] | None = None,
    status: int = 200,
) -> Response[str]:
    """A record's page, with what its section adds; `errors` say why something was not done."""
    site, who = site_of(request), request.user.who
    extra: Extra = request.app.state.extras.get(resource.name, Extra())
    links = [
        (link, site.desk.links(who, resource, row.id, link))
        for link in resource.links
        if link.name not in extra.shown and who.rights.may(site.desk.resource(link.to).view)
    ]
    return render(
        request,
        "record.html",
        status=status,
        resource=resource,
        row=row,
        errors=errors or {},
        links=links,
        panels=extra.panels(site, request, row) if extra.panels else [],
        actions=extra.actions(site, request, row) if extra.actions else [],
        changes=_changes(request, resource, row.id)
        if site.desk.reaches(who, resource, row.id, Right.CHANGES_VIEW)
        else None,
        shown=extra.shown,
        can_edit=may_edit(request, resource),
        link_field=link_field,
        default_text=default_text,
    )


@get("/{name:str}/{id:int}/edit", sync_to_thread=True)
def edit_page(request: Asked, name: FromPath[str], id: FromPath[int]) -> Response[str]:
    site = site_of(request)
    resource = site.desk.resource(name)
    row = site.desk.get(request.user.who, resource, id)
    request.user.who.need(resource.edit or resource.view)
    return _form(request, resource, row, _row_texts(request, resource, row), {})


@post("/{name:str}/{id:int}", sync_to_thread=True, status_code=200)
def update(request: Asked, name: FromPath[str], id: FromPath[int], data: Form) -> Response[Any]:
    site = site_of(request)
    resource = site.desk.resource(name)
    row = site.desk.get(request.user.who, resource, id)
    try:
        values = read_form(_entered(resource, creating=False), data, ZoneInfo(site.config.time_zone))
        secrets = {each.name for each in resource.fields if each.kind is Kind.SECRET}
        values = {n: value for n, value in values.items() if n not in secrets or value}
        site.desk.update(request.user.who, resource, id, values)
    except (Invalid, Conflict) as error:
        return _form(request, resource, row, _posted(data), _errors(error))
    return Redirect(f"/{name}/{id}", status_code=303)


@post("/{name:str}/{id:int}/delete", sync_to_thread=True, status_code=200)
def delete(request: Asked, name: FromPath[str], id: FromPath[int]) -> Response[Any]:
    site = site_of(request)
    resource = site.desk.resource(name)
    try:
        site.desk.delete(request.user.who, resource, id)
    except Conflict as error:
        row = site.desk.get(request.user.who, resource, id)
        return show_record(request, resource, row, errors=_errors(error), status=409)
    return Redirect(f"/{name}", status_code=303)


@post("/{name:str}/{id:int}/{link:str}", sync_to_thread=True, status_code=200)
def put_link(
    request: Asked, name: FromPath[str], id: FromPath[int], link: FromPath[str], data: Form
) -> Response[Any]:
    site = site_of(request)
    resource = site.desk.resource(name)
    meant = _link(resource, link)
    try:
        other = read_form([link_field(meant)], data, ZoneInfo(site.config.time_zone))["other"]
        values = read_form(meant.fields, data, ZoneInfo(site.config.time_zone))
        if other is None:
            raise Invalid({"other": "this is needed"})
        site.desk.set_link(request.user.who, resource, id, meant, other, values)
    except (Invalid, Conflict) as error:
        row = site.desk.get(request.user.who, resource, id)
        return show_record(request, resource, row, errors=_errors(error), status=422)
    return Redirect(f"/{name}/{id}#link-{link}", status_code=303)


@post("/{name:str}/{id:int}/{link:str}/{other:int}/remove", sync_to_thread=True, status_code=200)
def remove_link(
    request: Asked, name: FromPath[str], id: FromPath[int], link: FromPath[str], other: FromPath[int]
) -> Response[Any]:
    site = site_of(request)
    resource = site.desk.resource(name)
    site.desk.remove_link(request.user.who, resource, id, _link(resource, link), other)
    return Redirect(f"/{name}/{id}#link-{link}", status_code=303)


def link_field(link: Link) -> Field:
    """The field in which the other record of a link is chosen."""
    return Field(name="other", label=link.label, kind=Kind.REFERENCE, refers_to=link.to, optional=False)


def default_text(field: Field) -> str:
    """A field's default as a form has it."""
    if field.kind is Kind.YES_NO:
        return "yes" if field.default else "no"
    return "" if field.default is None else str(field.default)


def _link(resource: Resource, name: str) -> Link:
    try:
        return resource.link(name)
    except KeyError:
        raise NotFound(f"nothing called {name} hangs on {resource.name}") from None


def _form(
    request: Asked, resource: Resource, row: Row | None, texts: Mapping[str, str], errors: Mapping[str, str]
) -> Response[str]:
    fields = _entered(resource, creating=row is None)
    names = {each.name for each in fields}
    if row is None:
        title = f"{translate(request, resource.label)}: {translate(request, 'new')}"
    else:
        title = row.title
    return render(
        request,
        "form.html",
        status=422 if errors else 200,
        title=title,
        resource=resource,
        fields=fields,
        texts=texts,
        errors=errors,
        errors_beside={name: why for name, why in errors.items() if name not in names},
        action=f"/{resource.name}" if row is None else f"/{resource.name}/{row.id}",
        back=f"/{resource.name}" if row is None else f"/{resource.name}/{row.id}",
    )


def _entered(resource: Resource, *, creating: bool) -> list[Field]:
    return [each for each in resource.fields if each.written and (creating or not each.once)]


def _row_texts(request: Asked, resource: Resource, row: Row) -> dict[str, str]:
    clock = clock_of(request)
    texts: dict[str, str] = {}
    for each in resource.readable():
        value = row.values.get(each.name)
        match each.kind:
            case _ if value is None:
                texts[each.name] = ""
            case Kind.YES_NO:
                texts[each.name] = "yes" if value else "no"
            case Kind.TIME:
                texts[each.name] = clock.field(value)
            case Kind.REFERENCE:
                beyond = each.name in row.beyond
                shown = translate(request, show.BEYOND) if beyond else row.shown.get(each.name, "")
                texts[each.name] = f"{shown} #{value}".strip()
            case _:
                texts[each.name] = str(value)
    return texts


def _posted(data: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: str(value[-1] if isinstance(value, list) and value else value) for name, value in data.items()
    }


def _errors(error: Refused) -> Mapping[str, str]:
    return error.errors if isinstance(error, Invalid) else {"": str(error)}


def _changes(request: Asked, resource: Resource, id: int, limit: int = 50) -> list[Told]:
    site = site_of(request)
    mine = sa.and_(_CHANGES.c.entity == resource.entity, _CHANGES.c.entity_id == id)
    statement = sa.select(_CHANGES).where(mine).order_by(_CHANGES.c.id.desc()).limit(limit)
    with site.desk.store.reading() as connection:
        rows = connection.execute(statement).mappings().all()
    return ChangeWords(site, request.user.who, clock_of(request)).told([dict(row) for row in rows])


HANDLERS = [
    new_page,
    create,
    record_page,
    edit_page,
    update,
    delete,
    put_link,
    remove_link,
]
