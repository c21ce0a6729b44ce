"""The requests that every kind of record has: list, make, read, change, delete, and what hangs on it.

Made from the resources' descriptions, documentation included: a handler's signature is put together from the fields,
as Litestar reads it.
"""

from collections.abc import Callable, Sequence
from inspect import Parameter as Argument
from inspect import Signature
from typing import Annotated, Any

from litestar import Response, delete, get, patch, post, put
from litestar.openapi.spec import Example
from litestar.params import JSONBody, PathParameter, QueryParameter

from crm.api import shapes
from crm.api.guard import Asked
from crm.api.once import once
from crm.api.problems import problems
from crm.desk.resource import Field, Find, Kind, Link, Query, Resource
from crm.site import site_of
from crm.who import Invalid

_TAKEN = frozenset({"state", "data", "body", "query", "cookies", "headers", "request", "scope", "socket"})
_TAKEN_PREFIX = "filter__"
PATH_ID = Annotated[int, PathParameter(ge=1, le=2**31 - 1, description="its id")]


def handlers(resource: Resource) -> list[Any]:
    """All requests of one kind of record."""
    found = [_list(resource), _read(resource)]
    if resource.edit is not None:
        found += [_create(resource)] if resource.creates else []
        found += [_change(resource)]
        found += [_delete(resource)] if resource.deletes else []
    for link in resource.links:
        found.append(_links(resource, link))
        if resource.edit is not None and link.written:
            found += [_put(resource, link), _take(resource, link)]
    return found


def _list(resource: Resource) -> Any:
    filters = [each for field in resource.fields for each in _filters(field)]
    sortable = [name for f in resource.fields if f.sortable for name in (f.name, f"-{f.name}")]

    def list_records(request: Asked, **given: Any) -> Any:
        site = site_of(request)
        given = {name.removeprefix(_TAKEN_PREFIX): value for name, value in given.items()}
        asked = {name: _as_text(value) for name, value in given.items() if value is not None}
        for name in request.query_params:
            if name not in given:
                raise Invalid({name: "this list has no such filter"})
        sort, after = asked.pop("sort", ""), asked.pop("after", "")
        limit = int(asked.pop("limit", "50"))
        page = site.desk.list(request.user, resource, Query(asked, sort, after, limit))
        items = [shapes.as_record(resource, row) for row in page.rows]
        return shapes.page_type(resource)(
            items=items, next=page.next or None, total=page.total, more=page.more
        )

    about = "fields to sort by: " + ", ".join(sortable) if sortable else "this list has one order"
    arguments = {
        **dict(filters),
        "sort": Annotated[str | None, QueryParameter(description=about, max_length=64)],
        "after": Annotated[
            str | None, QueryParameter(description="the `next` of the page before", max_length=2000)
        ],
        "limit": Annotated[int, QueryParameter(ge=1, le=500, description="rows at most")],
    }
    _sign(list_records, arguments, shapes.page_type(resource), defaults={"limit": 50})
    return get(
        f"/{resource.name}",
        sync_to_thread=True,
        summary=f"{resource.label}: a part of the list",
        operation_id=f"list_{_id(resource.name)}",
        tags=[resource.label],
        responses=problems(422),
    )(list_records)


def _read(resource: Resource) -> Any:
    def read(request: Asked, id: Any) -> Any:
        return shapes.as_record(resource, site_of(request).desk.get(request.user, resource, id))

    _sign(read, {"id": PATH_ID}, shapes.record_type(resource))
    return get(f"/{resource.name}/{{id:int}}", **_about(resource, "read", "one", 404))(read)


def _create(resource: Resource) -> Any:
    def create(request: Asked, data: Any) -> Any:
        site = site_of(request)

        def make() -> Any:
            values = shapes.read_values(resource.fields, data)
            id = site.desk.create(request.user, resource, values)
            return shapes.as_record(resource, site.desk.get(request.user, resource, id))

        return once(request, data, make)

    _sign(create, {"data": _body(shapes.new_type(resource))}, Response[shapes.record_type(resource)])  # type: ignore[misc]
    return post(f"/{resource.name}", **_about(resource, "create", "make one", 404, 409, 422))(create)


def _change(resource: Resource) -> Any:
    def change(request: Asked, id: Any, data: Any) -> Any:
        site = site_of(request)
        site.desk.update(request.user, resource, id, shapes.read_values(resource.fields, data))
        return shapes.as_record(resource, site.desk.get(request.user, resource, id))

    _sign(change, {"id": PATH_ID, "data": _body(shapes.change_type(resource))}, shapes.record_type(resource))
    about = _about(resource, "change", "change one", 404, 409, 422)
    return patch(f"/{resource.name}/{{id:int}}", **about)(change)


def _delete(resource: Resource) -> Any:
    def remove(request: Asked, id: Any) -> None:
        site_of(request).desk.delete(request.user, resource, id)

    _sign(remove, {"id": PATH_ID}, None)
    return delete(f"/{resource.name}/{{id:int}}", **_about(resource, "delete", "delete one", 404, 409))(
        remove
    )


def _links(resource: Resource, link: Link) -> Any:
    def list_linked(request: Asked, id: Any) -> Any:
        desk = site_of(request).desk
        desk.get(request.user, resource, id)
        found = desk.links(request.user, resource, id, link, limit=1000)
        return [shapes.as_linked(resource, link, row) for row in found]

    _sign(list_linked, {"id": PATH_ID}, list[shapes.linked_type(resource, link)])  # type: ignore[misc]
    about = _about(resource, f"list_{link.name}_of", f"what hangs on one: {link.label}", 404)
    return get(f"/{resource.name}/{{id:int}}/{link.name}", **about)(list_linked)


def _put(resource: Resource, link: Link) -> Any:
    def put_linked(request: Asked, id: Any, other_id: Any, data: Any) -> None:
        values = shapes.read_values(link.fields, data)
        site_of(request).desk.set_link(request.user, resource, id, link, other_id, values)

    arguments = {"id": PATH_ID, "other_id": PATH_ID, "data": _body(shapes.link_type(resource, link))}
    _sign(put_linked, arguments, None)
    about = _about(resource, f"put_{link.name}_of", f"hang something on one: {link.label}", 404, 409, 422)
    path = f"/{resource.name}/{{id:int}}/{link.name}/{{other_id:int}}"
    return put(path, status_code=204, **about)(put_linked)


def _take(resource: Resource, link: Link) -> Any:
    def take_linked(request: Asked, id: Any, other_id: Any) -> None:
        site_of(request).desk.remove_link(request.user, resource, id, link, other_id)

    _sign(take_linked, {"id": PATH_ID, "other_id": PATH_ID}, None)
    about = _about(resource, f"take_{link.name}_of", f"take something off one: {link.label}", 404, 409)
    return delete(f"/{resource.name}/{{id:int}}/{link.name}/{{other_id:int}}", **about)(take_linked)


def _about(resource: Resource, verb: str, what: str, *statuses: int) -> dict[str, Any]:
    return {
        "sync_to_thread": True,
        "summary": f"{resource.label}: {what}",
        "operation_id": f"{verb}_{_id(resource.name)}",
        "tags": [resource.label],
        "responses": problems(*statuses),
    }


def _filters(field: Field) -> list[tuple[str, Any]]:
    if field.find is Find.NOT or (field.column is None and field.where is None):
        return []
    about = field.label
    if field.find is Find.BETWEEN:
        from datetime import datetime

        of: Any = datetime if field.kind is Kind.TIME else float
        return [
            (f"{field.name}_from", Annotated[of | None, QueryParameter(description=f"{about}: from")]),
            (f"{field.name}_to", Annotated[of | None, QueryParameter(description=f"{about}: before")]),
        ]
    match field.kind:
        case Kind.YES_NO:
            of = bool
        case Kind.REFERENCE:
            of = Annotated[int, QueryParameter(ge=1, le=2**31 - 1)]
            return [
                (field.name, Annotated[int | None, QueryParameter(ge=1, le=2**31 - 1, description=about)])
            ]
        case Kind.INTEGER:
            of = int
        case Kind.CHOICE:
            several = one_or_several([value for value, _ in field.choices], about, name=field.name)
            return [(_argument(field.name), Annotated[list[str] | None, several])]
        case _:
            named = QueryParameter(max_length=255, description=about, name=field.name)
            return [(_argument(field.name), Annotated[str | None, named])]
    return [(field.name, Annotated[of | None, QueryParameter(description=about)])]


def one_or_several(values: Sequence[str], about: str, name: str | None = None) -> Any:
    """The parameter of a filter by one or several of these values."""
    said = f"{about}: one or several of {', '.join(values)}, as the parameter repeated or with commas between them"
    example = Example(id="two of them", summary="two of them", value=list(values[:2]))
    return QueryParameter(description=said, examples=[example], max_items=100, name=name)


def _argument(name: str) -> str:
    """A filter's name as an argument of a handler, of whose names Litestar has taken some."""
    return _TAKEN_PREFIX + name if name in _TAKEN else name


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(value)
    return str(value.timestamp()) if hasattr(value, "timestamp") else str(value)


def _body(kind: Any) -> Any:
    return JSONBody[kind]  # type: ignore[misc]


def _sign(
    function: Callable[..., Any],
    arguments: dict[str, Any],
    returns: Any,
    *,
    defaults: dict[str, Any] | None = None,
) -> None:
    """Say what `function` takes and gives: its names stand in no file."""
    hints: dict[str, Any] = {"request": Asked, **arguments}
    optional = {
        name for name, hint in arguments.items() if type(None) in getattr(_args(hint), "__args__", ())
    }
    parameters = [
        Argument(
            name,
            Argument.KEYWORD_ONLY,
            annotation=hint,
            default=(defaults or {}).get(name, None if name in optional else Argument.empty),
        )
        for name, hint in hints.items()
    ]
    function.__annotations__ = {**hints, "return": returns}
    function.__signature__ = Signature(parameters, return_annotation=returns)  # type: ignore[attr-defined]


def _args(hint: Any) -> Any:
    return getattr(hint, "__origin__", hint)


def _id(name: str) -> str:
    return name.replace("-", "_")
