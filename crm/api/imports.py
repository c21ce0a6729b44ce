"""Imports: a file sent by a program, checked, written, and what came of it."""

from datetime import UTC, datetime
from typing import Annotated, Any

from litestar import Response, get, post
from litestar.connection import ASGIConnection
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.handlers import BaseRouteHandler
from litestar.params import Body, JSONBody, QueryParameter
from msgspec import Meta, Struct

from crm.api.guard import Asked
from crm.api.once import once
from crm.api.problems import problems
from crm.api.records import PATH_ID
from crm.imports.imports import MAX_BYTES, ImportKind, ImportState, ImportView, describe, list_imports
from crm.imports.preview import preview_keys
from crm.imports.worker import ImportWorker
from crm.keys.formats import KeyFormat
from crm.rights import Right
from crm.site import part, site_of, wait_for
from crm.who import Conflict, Invalid

TAG = "Imports"
FORM_BYTES = 100_000  # of a request beside its file


class NewImport(Struct):
    """A file (CSV or XLSX), sent as multipart/form-data."""

    file: UploadFile
    kind: ImportKind
    domain: Annotated[
        str, Meta(max_length=255, description="of accounts and panels, where the file gives none")
    ] = ""
    format: Annotated[str, Meta(max_length=32, description="of keys: one of the kind's options")] = ""
    write: Annotated[
        bool, Meta(description="write it as soon as it is found right, instead of waiting to be told")
    ] = False


class ImportFault(Struct):
    """What is wrong: in which row, as the file counts them (0: the whole file), under which heading."""

    row: Annotated[int, Meta(examples=[17])]
    column: Annotated[str, Meta(examples=["Квартира"])]
    text: str


class ImportOne(Struct):
    """How an import stands."""

    id: int
    kind: ImportKind
    name: Annotated[str, Meta(description="of the file", examples=["flats.csv"])]
    state: Annotated[
        ImportState, Meta(description="`ready`: checked, right, and waiting to be written; nothing is yet")
    ]
    who: str
    rows: int
    done: Annotated[int, Meta(description="rows so far")]
    added: Annotated[int, Meta(description="rows that were added; when `ready`: that will be")]
    changed: Annotated[
        int, Meta(description="rows that changed something; when `ready`: that are there already")
    ]
    errors: list[ImportFault]
    choices: dict[str, str]
    created_at: datetime
    ended_at: datetime | None


class ImportPage(Struct):
    """Imports, the newest first; `next` is the `before` of the next page."""

    items: list[ImportOne]
    next: int | None


class ImportColumn(Struct):
    """A column of a file: either heading may stand in it."""

    name: str
    ru: str
    en: str
    about: str
    required: bool


class ImportChoice(Struct):
    """What is chosen for a whole file; without options any text."""

    name: str
    about: str
    default: str
    options: list[str]


class ImportKindOne(Struct):
    """What can be imported."""

    kind: ImportKind
    right: Annotated[str, Meta(description="needed beside imports.run", examples=["people.edit"])]
    columns: list[ImportColumn]
    choices: list[ImportChoice]


class KeyText(Struct):
    """A key as it stands in the file, and its UID in each format in which it can be read."""

    text: str
    uids: dict[str, str]
    known: Annotated[list[str], Meta(description="formats in which it is a key that is known already")]


class KeyFit(Struct):
    """How well a format fits: keys that can be read in it, and that are known then."""

    format: KeyFormat
    readable: int
    known: int


class KeysSeen(Struct):
    """The first keys of a file, and the formats that fit them, the best first."""

    keys: list[KeyText]
    formats: list[KeyFit]
    looked_at: int


class NewFormat(Struct):
    """In which format the keys of a file are to be read."""

    format: Annotated[str, Meta(max_length=32, examples=["hex_reversed"])]


def _may_import(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Before anything of a large file is read."""
    connection.user.need(Right.IMPORTS_RUN)


def _about(name: str, summary: str, *statuses: int) -> dict[str, Any]:
    return {
        "sync_to_thread": True,
        "operation_id": name,
        "summary": f"{TAG}: {summary}",
        "tags": [TAG],
        "responses": problems(*statuses),
    }


@get("/import-kinds", **_about("list_import_kinds", "what can be imported, with its columns"))
def list_kinds(request: Asked) -> list[ImportKindOne]:
    request.user.need(Right.IMPORTS_RUN)
    infos = (describe(kind) for kind in ImportKind)
    return [
        ImportKindOne(
            info.kind,
            info.right.value,
            [ImportColumn(c.name, c.ru, c.en, c.about, c.required) for c in info.columns],
            [ImportChoice(c.name, c.en, c.default, list(c.options)) for c in info.choices],
        )
        for info in infos
        if request.user.rights.may(info.right)
    ]


@post(
    "/imports",
    guards=[_may_import],
    request_max_body_size=MAX_BYTES + FORM_BYTES,
    **_about("create_import", "a file to be checked, and then written", 409, 422),
)
def create(
    request: Asked, data: Annotated[NewImport, Body(media_type=RequestEncodingType.MULTI_PART)]
) -> Response[ImportOne]:
    """Ask for the import then until its state is `ready`, `refused`, `failed` or `done`. All of a file is written, or
    nothing."""
    worker = _worker(request)
    known = {each.name for each in describe(data.kind).choices}
    asked = {name: text for name, text in (("domain", data.domain), ("format", data.format)) if text}
    with data.file.file as file:
        if wrong := asked.keys() - known:
            raise Invalid({name: f"{data.kind.value} have no such choice" for name in wrong})
        upload = worker.take_in(file)
    made = False

    def make() -> ImportOne:
        nonlocal made
        made = True
        id = worker.add(upload, data.kind, data.file.filename, request.user, asked, write=data.write)
        return _one(worker.get(id, request.user))

    try:
        same = [data.kind.value, data.file.filename, asked, data.write, upload.hash]
        answer = once(request, same, make)
    finally:
        if not made:
            upload.path.unlink(missing_ok=True)
    wait_for(worker.wake)
    return answer


@get("/imports", **_about("list_imports", "the newest first", 422))
def list_all(
    request: Asked,
    before: Annotated[
        int | None, QueryParameter(ge=1, le=2**31 - 1, description="those before this id")
    ] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=500, description="imports at most")] = 50,
) -> ImportPage:
    """All, to a token that may import everywhere; to others their own."""
    views = list_imports(site_of(request).store, request.user, limit=limit + 1, before=before)
    items = [_one(view) for view in views[:limit]]
    return ImportPage(items, items[-1].id if len(views) > limit else None)


@get("/imports/{id:int}", **_about("read_import", "how one stands", 404))
def read(request: Asked, id: PATH_ID) -> ImportOne:
    return _one(_worker(request).get(id, request.user))


@post(
    "/imports/{id:int}/write",
    status_code=202,
    **_about("write_import", "write one that is ready", 404, 409),
)
def write(request: Asked, id: PATH_ID) -> ImportOne:
    """Sent again while it is being written, it is a conflict: nothing is written twice."""
    worker = _worker(request)
    worker.write(id, request.user)
    wait_for(worker.wake)
    return _one(worker.get(id, request.user))


@post(
    "/imports/{id:int}/cancel",
    status_code=200,
    **_about("cancel_import", "break one off, or drop one that is ready: nothing of it is written", 404, 409),
)
def cancel(request: Asked, id: PATH_ID) -> ImportOne:
    """One that is over is a conflict."""
    worker = _worker(request)
    worker.get(id, request.user)
    wait_for(worker.stop, id)
    worker.cancel(id, request.user)
    wait_for(worker.wake)
    return _one(worker.get(id, request.user))


@post(
    "/imports/{id:int}/check",
    status_code=202,
    **_about("check_import", "check keys again in another format", 404, 409, 422),
)
def check(request: Asked, id: PATH_ID, data: JSONBody[NewFormat]) -> ImportOne:
    worker = _worker(request)
    view = worker.get(id, request.user)
    worker.check(id, request.user, {**view.choices, "format": data.format})
    wait_for(worker.wake)
    return _one(worker.get(id, request.user))


@get("/imports/{id:int}/keys", **_about("preview_keys_of_import", "how its keys can be read", 404, 409))
def keys(request: Asked, id: PATH_ID) -> KeysSeen:
    """While the file is here: until it is written, or for a day."""
    worker = _worker(request)
    view = worker.get(id, request.user)
    path = worker.file_of(id)
    if view.kind is not ImportKind.KEYS or path is None:
        raise Conflict(f"import {id} has no file of keys here any more")
    found = preview_keys(site_of(request).store, request.user, path)
    if found is None:
        raise Conflict(f"import {id}: there is no column of keys in its file")
    texts = [
        KeyText(
            line.text, {f.value: uid for f, uid in line.uids.items()}, sorted(f.value for f in line.known)
        )
        for line in found.lines
    ]
    fits = [KeyFit(each.format, each.readable, each.known) for each in found.guesses]
    return KeysSeen(texts, fits, found.looked_at)


def _worker(request: Asked) -> ImportWorker:
    found: ImportWorker = part(site_of(request), "imports", "importing")
    return found


def _one(view: ImportView) -> ImportOne:
    return ImportOne(
        view.id,
        view.kind,
        view.name,
        view.state,
        view.who,
        view.rows,
        view.done,
        view.added,
        view.changed,
        [ImportFault(each.row, each.column, each.text) for each in view.errors],
        dict(view.choices),
        datetime.fromtimestamp(view.created_at, UTC),
        None if view.ended_at is None else datetime.fromtimestamp(view.ended_at, UTC),
    )


REQUESTS: list[Any] = [list_kinds, create, list_all, read, write, check, cancel, keys]
