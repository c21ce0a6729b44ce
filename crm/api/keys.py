"""Keys: found by any way of writing them, added, bound, lost and found again, looked at and imported by the hundred."""

from typing import Annotated, Any

from litestar import Response, get, post
from litestar.params import JSONBody, QueryParameter

from crm.api.guard import Asked
from crm.api.key_types import (
    BindingsChange,
    BoundTo,
    FormatGuess,
    KeyBinding,
    KeyImport,
    KeyLine,
    KeyLines,
    KeyPreview,
    KeyReading,
    KeyRecord,
    KeysImported,
    LostKey,
    NewKey,
    PanelOfKey,
)
from crm.api.once import once
from crm.api.problems import problems
from crm.api.records import PATH_ID
from crm.api.shapes import moment
from crm.keys.formats import Reading, written
from crm.keys.keys import (
    KeyInfo,
    add_key,
    change_bindings,
    find_key_again,
    find_keys,
    get_key,
    lose_key,
    panels_of_key,
)
from crm.keys.many import guess_format, import_keys, preview
from crm.keys.reach import Binding
from crm.site import site_of

TAG = "Keys"


@get(
    "/keys/find",
    sync_to_thread=True,
    operation_id="find_keys",
    summary="Keys: find by any way of writing",
    tags=[TAG],
    responses=problems(422),
)
def find(
    request: Asked,
    key: Annotated[str, QueryParameter(min_length=1, max_length=64, description="in any way of writing")],
    limit: Annotated[int, QueryParameter(ge=1, le=50, description="keys at most")] = 20,
) -> list[KeyRecord]:
    return [_record(each) for each in find_keys(site_of(request).store, request.user, key, limit)]


@post(
    "/keys",
    sync_to_thread=True,
    operation_id="add_key",
    summary="Keys: add one",
    tags=[TAG],
    responses=problems(409, 422),
)
def add(request: Asked, data: JSONBody[NewKey]) -> Response[KeyRecord]:
    site = site_of(request)

    def make() -> KeyRecord:
        id = add_key(
            site.store,
            request.user,
            data.key,
            _bindings(data.bindings),
            site.now(),
            format=data.format,
            uid=data.uid,
            technology=data.technology,
            note=data.note,
        )
        return _record(get_key(site.store, request.user, id))

    return once(request, data, make)


@get(
    "/keys/{id:int}/bindings",
    sync_to_thread=True,
    operation_id="bindings_of_key",
    summary="Keys: what one opens, and all ways of writing it",
    tags=[TAG],
    responses=problems(404),
)
def bindings_of(request: Asked, id: PATH_ID) -> KeyRecord:
    return _record(get_key(site_of(request).store, request.user, id))


@post(
    "/keys/{id:int}/bindings",
    sync_to_thread=True,
    status_code=200,
    operation_id="change_bindings_of_key",
    summary="Keys: change what one opens",
    tags=[TAG],
    responses=problems(404, 422),
)
def bind(request: Asked, id: PATH_ID, data: JSONBody[BindingsChange]) -> KeyRecord:
    site, more, less = site_of(request), _bindings(data.add), _bindings(data.remove)
    change_bindings(site.store, request.user, id, site.now(), add=more, remove=less)
    return _record(get_key(site.store, request.user, id))


@post(
    "/keys/{id:int}/lost",
    sync_to_thread=True,
    status_code=200,
    operation_id="lose_key",
    summary="Keys: one is lost, and blocked everywhere at once",
    tags=[TAG],
    responses=problems(404),
)
def lose(request: Asked, id: PATH_ID, data: JSONBody[LostKey]) -> KeyRecord:
    site = site_of(request)
    lose_key(site.store, request.user, id, data.why, site.now())
    return _record(get_key(site.store, request.user, id))


@post(
    "/keys/{id:int}/found",
    sync_to_thread=True,
    status_code=200,
    operation_id="find_key_again",
    summary="Keys: a lost one was found",
    tags=[TAG],
    responses=problems(404),
)
def found_again(request: Asked, id: PATH_ID) -> KeyRecord:
    site = site_of(request)
    find_key_again(site.store, request.user, id, site.now())
    return _record(get_key(site.store, request.user, id))


@get(
    "/keys/{id:int}/panels",
    sync_to_thread=True,
    operation_id="panels_of_key",
    summary="Keys: the panels that know one, or are still to be told",
    tags=[TAG],
    responses=problems(404),
)
def panels(
    request: Asked,
    id: PATH_ID,
    limit: Annotated[int, QueryParameter(ge=1, le=500, description="panels at most")] = 200,
) -> list[PanelOfKey]:
    return [
        PanelOfKey(
            domophone_id=each.domophone_id,
            sip_user=each.sip_user,
            wanted=each.wanted,
            told_at=moment(each.done_at),
            next_try=moment(each.due_at) if each.done_at is None else None,
            tries=each.tries,
            error=each.error,
        )
        for each in panels_of_key(site_of(request).store, request.user, id, limit)
    ]


@post(
    "/keys/preview",
    sync_to_thread=True,
    status_code=200,
    operation_id="preview_keys",
    summary="Keys: what lines can mean, before an import",
    tags=[TAG],
    responses=problems(422),
)
def look(request: Asked, data: JSONBody[KeyLines]) -> KeyPreview:
    lines = preview(site_of(request).store, request.user, data.keys)
    return KeyPreview(
        lines=[
            KeyLine(key=each.text, readings=[_reading(r, r.uid in each.known) for r in each.readings])
            for each in lines
        ],
        formats=[
            FormatGuess(format=g.format, readable=g.readable, known=g.known, likely=g.likely)
            for g in guess_format(lines)
        ],
    )


@post(
    "/keys/import",
    sync_to_thread=True,
    operation_id="import_keys",
    summary="Keys: import many, all or none",
    tags=[TAG],
    responses=problems(409, 422),
)
def import_many(request: Asked, data: JSONBody[KeyImport]) -> Response[KeysImported]:
    """What is wrong with the key at place N (from 1) is in the error `N`."""
    site = site_of(request)

    def make() -> KeysImported:
        lines = [(each.key, _bindings(each.bindings)) for each in data.keys]
        options: dict[str, Any] = {"technology": data.technology, "note": data.note}
        done = import_keys(site.store, request.user, lines, data.format, site.now(), **options)
        return KeysImported(added=done.added, known=done.known)

    return once(request, data, make)


def _bindings(given: list[KeyBinding]) -> list[Binding]:
    return [Binding(each.scope, each.id) for each in given]


def _record(key: KeyInfo) -> KeyRecord:
    return KeyRecord(
        id=key.id,
        uid=key.uid,
        technology=key.technology,
        given=key.given,
        format=key.format,
        written={format.value: text for format, text in written(key.uid).items()},
        note=key.note,
        created_at=moment(key.created_at),
        lost_at=moment(key.lost_at),
        lost_why=key.lost_why,
        seen_at=moment(key.seen_at),
        seen_by=key.seen_by,
        bindings=[
            BoundTo(scope=binding.scope, id=binding.ref_id, title=title) for binding, title in key.bindings
        ],
    )


def _reading(each: Reading, known: bool) -> KeyReading:
    sure: Any = each.sure.name.lower()
    return KeyReading(uid=each.uid, format=each.format, sure=sure, part=each.part, known=known)


REQUESTS: list[Any] = [find, add, bindings_of, bind, lose, found_again, panels, look, import_many]
