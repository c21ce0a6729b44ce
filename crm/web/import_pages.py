"""The pages of imports: what can be imported, a file taken in, how far it is, and what is wrong with it.

A file is checked first, then written when somebody says so; the work is crm.imports.worker's. A page of one that is going
on asks for its progress each second, quietly.
"""

from __future__ import annotations

from collections.abc import Mapping
from hmac import compare_digest
from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.handlers import BaseRouteHandler
from litestar.middleware.csrf import CSRF_SECRET_LENGTH, generate_csrf_hash
from litestar.params import Body, FromPath
from litestar.response import File, Redirect

from crm.imports.imports import (
    MAX_BYTES,
    ImportKind,
    ImportState,
    ImportView,
    KindInfo,
    describe,
    list_imports,
)
from crm.imports.preview import KeyPreview, preview_keys
from crm.imports.worker import GOING, ImportWorker
from crm.rights import Right
from crm.sections.keys import FORMATS as KEY_FORMATS
from crm.site import part, site_of, wait_for
from crm.spreadsheets import csv_line
from crm.web.import_faults import said_fault
from crm.web.menu import Item
from crm.web.page import Asked, Extra, render, translate
from crm.web.record_pages import Form
from crm.who import Forbidden, Invalid, NotFound

Multipart = Annotated[dict[str, Any], Body(media_type=RequestEncodingType.MULTI_PART)]
LISTED = 50
FORM_BYTES = 100_000  # of a request beside its file
KINDS: Mapping[ImportKind, str] = {
    ImportKind.HOUSES: "Houses",
    ImportKind.FLATS: "Flats",
    ImportKind.ACCOUNTS: "Accounts",
    ImportKind.PANELS: "Panels",
    ImportKind.KEYS: "Keys",
}
STATES: Mapping[ImportState, tuple[str, str]] = {
    ImportState.CHECKING: ("being checked", "look"),
    ImportState.WRITING: ("being written", "look"),
    ImportState.READY: ("checked, not written yet", "look"),
    ImportState.DONE: ("done", "fine"),
    ImportState.REFUSED: ("refused: there are errors", "act"),
    ImportState.FAILED: ("broken off", "act"),
}
FORMATS: Mapping[str, str] = {
    "auto": "what fits all keys of the file",
    **{format.value: label for format, label in KEY_FORMATS.items()},
}


def _may_import(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Before anything of a large file is read."""
    connection.user.who.need(Right.IMPORTS_RUN)


@get("/imports", sync_to_thread=True)
def imports_page(request: Asked) -> Response[str]:
    who = request.user.who
    who.need(Right.IMPORTS_RUN)
    before = request.query_params.get("before", "")
    asked = int(before) if before.isdecimal() and len(before) < 10 else None
    views = list_imports(site_of(request).store, who, limit=LISTED + 1, before=asked)
    return render(
        request,
        "imports.html",
        kinds=[(info, KINDS[info.kind]) for info in _infos(request)],
        views=views[:LISTED],
        older=views[LISTED - 1].id if len(views) > LISTED else None,
        before=asked,
        names=KINDS,
        states=STATES,
    )


@get("/imports/new/{kind:str}", sync_to_thread=True)
def new_page(request: Asked, kind: FromPath[str]) -> Response[str]:
    return _form(request, _info(request, kind), {}, {})


@get("/imports/sample/{kind:str}", sync_to_thread=True)
def sample(request: Asked, kind: FromPath[str]) -> File:
    info = _info(request, kind)
    return File(info.sample, filename=info.sample.name, media_type="text/csv; charset=utf-8")


@post(
    "/imports/new/{kind:str}",
    sync_to_thread=True,
    status_code=200,
    guards=[_may_import],
    request_max_body_size=MAX_BYTES + FORM_BYTES,
    opt={"exclude_from_csrf": True},  # which would read the file before it is known who sends it
)
def upload(request: Asked, kind: FromPath[str], data: Multipart) -> Response[Any]:
    file = data.get("file")
    try:
        _need_token(request, data.get("_csrf_token"))
        info = _info(request, kind)
        worker = _worker(request)
        choices = {each.name: str(data.get(each.name, "")) for each in info.choices}
        try:
            if not isinstance(file, UploadFile):
                raise Invalid({"file": "choose a file"})
            kept = worker.take_in(file.file)
            id = worker.add(kept, info.kind, file.filename, request.user.who, choices)
        except Invalid as error:
            return _form(request, info, choices, error.errors)
    finally:
        for each in data.values():
            if isinstance(each, UploadFile):
                each.file.close()
    wait_for(worker.wake)
    return Redirect(f"/imports/{id}", status_code=303)


@get("/imports/{id:int}", sync_to_thread=True)
def import_page(request: Asked, id: FromPath[int]) -> Response[str]:
    worker = _worker(request)
    view = worker.get(id, request.user.who)
    return render(request, "import.html", **_context(worker, view), **_preview(request, worker, view))


@get("/imports/{id:int}/progress", sync_to_thread=True)
def progress(request: Asked, id: FromPath[int]) -> Response[str]:
    """The part of the page that changes. `was` is the state that it shows."""
    worker = _worker(request)
    view = worker.get(id, request.user.who)
    was = request.query_params.get("was", "")
    return render(request, "import_part.html", **{**_context(worker, view), "was": was})


@post("/imports/{id:int}/write", sync_to_thread=True, status_code=200)
def write(request: Asked, id: FromPath[int]) -> Redirect:
    worker = _worker(request)
    worker.write(id, request.user.who)
    wait_for(worker.wake)
    return Redirect(f"/imports/{id}", status_code=303)


@post("/imports/{id:int}/check", sync_to_thread=True, status_code=200)
def check(request: Asked, id: FromPath[int], data: Form) -> Redirect:
    """Check it again with other choices."""
    worker = _worker(request)
    view = worker.get(id, request.user.who)
    names = {each.name for each in describe(view.kind).choices}
    given = {name: str(value) for name, value in data.items() if name in names}
    worker.check(id, request.user.who, {**view.choices, **given})
    wait_for(worker.wake)
    return Redirect(f"/imports/{id}", status_code=303)


@post("/imports/{id:int}/cancel", sync_to_thread=True, status_code=200)
def cancel(request: Asked, id: FromPath[int]) -> Redirect:
    """Nothing of it is to be written."""
    worker, who = _worker(request), request.user.who
    worker.get(id, who)
    wait_for(worker.stop, id)
    worker.cancel(id, who)
    wait_for(worker.wake)
    return Redirect(f"/imports/{id}", status_code=303)


@get("/imports/{id:int}/errors.csv", sync_to_thread=True)
def errors_csv(request: Asked, id: FromPath[int]) -> Response[bytes]:
    view = _worker(request).get(id, request.user.who)
    head = [translate(request, each) for each in ("Row", "Column", "What is wrong")]
    lines = [
        [str(fault.row or ""), fault.column, said_fault(request.user.language, fault.text)]
        for fault in view.errors
    ]
    text = b"".join(csv_line(cells, ";") for cells in (head, *lines))
    headers = {"Content-Disposition": f'attachment; filename="import-{id}-errors.csv"'}
    return Response("\ufeff".encode() + text, media_type="text/csv; charset=utf-8", headers=headers)


def _context(worker: ImportWorker, view: ImportView) -> dict[str, Any]:
    return {
        "view": view,
        "was": view.state.value,
        "kind_name": KINDS[view.kind],
        "state": STATES[view.state],
        "going": view.state in GOING,
        "waits": view.state in GOING and not worker.is_running(view.id),
        "has_file": worker.file_of(view.id) is not None,
        "said_fault": said_fault,
        "choices": _choices(view),
    }


def _choices(view: ImportView) -> list[tuple[str, str]]:
    names = {each.name: each.en for each in describe(view.kind).choices}
    return [(names.get(name, name), FORMATS.get(it, it)) for name, it in view.choices.items()]


def _preview(request: Asked, worker: ImportWorker, view: ImportView) -> dict[str, Any]:
    """How the keys of a file would be read; for other files nothing."""
    path = worker.file_of(view.id) if view.kind is ImportKind.KEYS else None
    found: KeyPreview | None = None
    if path is not None and request.user.who.rights.may(Right.KEYS_EDIT):
        found = preview_keys(site_of(request).store, request.user.who, path)
    return {"preview": found, "formats": FORMATS}


def _form(
    request: Asked, info: KindInfo, texts: Mapping[str, str], errors: Mapping[str, str]
) -> Response[str]:
    return render(
        request,
        "import_new.html",
        status=422 if errors else 200,
        info=info,
        kind_name=KINDS[info.kind],
        texts=texts,
        errors=errors,
        formats=FORMATS,
        most_mb=MAX_BYTES // 2**20,
    )


def _infos(request: Asked) -> list[KindInfo]:
    """The kinds that one may import."""
    rights = request.user.who.rights
    return [info for info in map(describe, ImportKind) if rights.may(info.right)]


def _info(request: Asked, kind: str) -> KindInfo:
    who = request.user.who
    who.need(Right.IMPORTS_RUN)
    if kind not in {each.value for each in ImportKind}:
        raise NotFound(f"there is no import of {kind[:40]}")
    info = describe(ImportKind(kind))
    who.need(info.right)
    return info


def _worker(request: Asked) -> ImportWorker:
    found: ImportWorker = part(site_of(request), "imports", "importing")
    return found


def _need_token(request: Request[Any, Any, Any], given: object) -> None:
    """As the middleware does it for all other forms. Raises Forbidden."""
    config = request.app.csrf_config
    if config is None:
        raise Forbidden("this form is too old: open its page again")
    cookie = request.cookies.get(config.cookie_name, "")
    token = request.headers.get("x-csrftoken") or (given if isinstance(given, str) else "")
    secret, hash = token[:CSRF_SECRET_LENGTH], token[CSRF_SECRET_LENGTH:]
    if not hash or not compare_digest(token.encode(), cookie.encode()):
        raise Forbidden("this form is too old: open its page again")
    if not compare_digest(generate_csrf_hash(secret, config.secret).encode(), hash.encode()):
        raise Forbidden("this form is too old: open its page again")


PAGES: list[Any] = [
    imports_page,
    new_page,
    sample,
    upload,
    import_page,
    progress,
    write,
    check,
    cancel,
    errors_csv,
]
EXTRAS: Mapping[str, Extra] = {}
ITEMS: tuple[Item, ...] = (Item("Imports", "/imports", Right.IMPORTS_RUN, "arrow-up-tray", "Housing stock"),)
